// Matrix products and convolutions by plain loops, for what oneDNN lacks: f64, integers, nothing to sum over.
#include <algorithm>

#include "kernels/conv_form.h"
#include "kernels/cpu/lane_io.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/matmul_form.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

namespace {

// The last steps of a result: bias and residual added, the epilogue applied, the values rounded and stored.
template <class T>
struct Finish {
  DType dtype;
  std::optional<Pointwise> epilogue;

  void add(const std::byte* from, int64_t stride, T* acc, int64_t n) const {
    alignas(64) T values[kLaneBlock];
    LaneIo<T>(dtype, dtype).load(from, stride, values, n);
    for (int64_t i = 0; i < n; ++i) acc[i] += values[i];
  }
  void store(T* acc, std::byte* to, int64_t stride, int64_t n) const {
    if (epilogue) {
      const void* const operands[] = {acc};
      tile_functions().function[static_cast<size_t>(*epilogue)][static_cast<size_t>(lane_of(dtype))](operands,
                                                                                                     acc, n);
    }
    LaneIo<T>(dtype, dtype).store(acc, to, stride, n);
  }
};

template <class T>
class LoopMatmul : public StepKernel {
 public:
  LoopMatmul(MatmulForm form, int threads) : form_(std::move(form)), threads_(threads) {
    const Sizes order[] = {form_.out.strides, form_.a.strides, form_.b.strides,
                           form_.residual ? form_.residual->strides : Sizes(form_.out.shape.size(), 0)};
    std::vector<Sizes> batch;
    for (const Sizes& strides : order) batch.emplace_back(strides.begin(), strides.end() - 2);
    nest_ = make_nest(form_.batch, batch);
  }

  Status run(const Addresses& at) const override {
    const int64_t rows = element_count(form_.batch) * form_.m;
    const int threads =
        worthwhile_threads(threads_, static_cast<double>(rows) * static_cast<double>(form_.n) *
                                         static_cast<double>(form_.k + 1));
    parallel_ranges(threads, rows, [&](int, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) run_row(at, row / form_.m, row % form_.m);
    });
    return {};
  }

 private:
  int64_t batch_offset(size_t tensor, int64_t batch) const {
    return nest_.offset(tensor, batch / nest_.inner()) + batch % nest_.inner() * nest_.strides[tensor].back();
  }

  void run_row(const Addresses& at, int64_t batch, int64_t row) const {
    const int64_t size = dtype_size(form_.dtype);
    const LaneIo<T> io(form_.dtype, form_.dtype);
    const Finish<T> finish = {form_.dtype, form_.epilogue};
    const auto start = [&](const StepTensor& tensor, size_t index) {
      return tensor.at(at) + (batch_offset(index, batch) + row * tensor.strides.end()[-2]) * size;
    };
    const std::byte* a_row = start(form_.a, 1);
    const std::byte* b_start = form_.b.at(at) + batch_offset(2, batch) * size;
    for (int64_t column = 0; column < form_.n; column += kLaneBlock) {
      const int64_t n = std::min(kLaneBlock, form_.n - column);
      alignas(64) T acc[kLaneBlock] = {};
      alignas(64) T b[kLaneBlock];
      for (int64_t k = 0; k < form_.k; ++k) {
        T a;
        io.load(a_row + k * form_.a.strides.back() * size, 1, &a, 1);
        const int64_t b_at = k * form_.b.strides.end()[-2] + column * form_.b.strides.back();
        io.load(b_start + b_at * size, form_.b.strides.back(), b, n);
        for (int64_t i = 0; i < n; ++i) acc[i] += a * b[i];
      }
      if (form_.bias)
        finish.add(form_.bias->at(at) + column * form_.bias->strides[0] * size, form_.bias->strides[0], acc,
                   n);
      if (form_.residual)
        finish.add(start(*form_.residual, 3) + column * form_.residual->strides.back() * size,
                   form_.residual->strides.back(), acc, n);
      finish.store(acc, start(form_.out, 0) + column * form_.out.strides.back() * size,
                   form_.out.strides.back(), n);
    }
  }

  MatmulForm form_;
  LoopNest nest_;  // over the batch: of out, a, b, residual
  int threads_;
};

// A convolution as a sum over taps, gathered for each place of the result.
class LoopConv : public StepKernel {
 public:
  LoopConv(ConvForm form, int threads) : form_(std::move(form)), threads_(threads) {}

  Status run(const Addresses& at) const override {
    const int64_t places = form_.y.elements();
    const double taps =
        static_cast<double>(element_count(form_.shape.weight)) / static_cast<double>(form_.shape.y[1]);
    const int threads = worthwhile_threads(threads_, static_cast<double>(places) * (taps + 1));
    parallel_ranges(threads, places, [&](int, int64_t begin, int64_t end) {
      Sizes place(form_.y.shape.size());
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t d = static_cast<int64_t>(place.size()) - 1, left = i; d >= 0; --d) {
          place[static_cast<size_t>(d)] = left % form_.y.shape[static_cast<size_t>(d)];
          left /= form_.y.shape[static_cast<size_t>(d)];
        }
        run_place(at, place);
      }
    });
    return {};
  }

 private:
  // Where tap k of spatial dim d reads for the place `y`; -1 for padding and for what a transpose skips.
  int64_t source(size_t d, int64_t y, int64_t k) const {
    const ConvShape& s = form_.shape;
    const int64_t reach = k * (s.dilation[d] + 1);
    int64_t x = s.transposed ? y + s.low[d] - reach : y * s.stride[d] - s.low[d] + reach;
    if (s.transposed) {
      if (x < 0 || x % s.stride[d] != 0) return -1;
      x /= s.stride[d];
    }
    return x < s.x[d + 2] ? x : -1;
  }

  void run_place(const Addresses& at, const Sizes& place) const {
    const ConvShape& s = form_.shape;
    const size_t dims = s.x.size() - 2, lead = s.groups > 1 ? 1 : 0;
    const int64_t outputs = s.weight[lead], inputs = s.weight[lead + 1];
    const int64_t group = place[1] / outputs, output = place[1] % outputs;
    const auto* x = reinterpret_cast<const double*>(form_.x.at(at)) + place[0] * form_.x.strides[0] +
                    group * inputs * form_.x.strides[1];
    const auto* w =
        reinterpret_cast<const double*>(form_.weight.at(at)) + output * form_.weight.strides[lead];
    if (lead) w += group * form_.weight.strides[0];
    const int64_t taps = element_count(std::span<const int64_t>(s.weight).subspan(lead + 2));
    double sum = 0;
    for (int64_t tap = 0; tap < taps; ++tap) {
      int64_t from = 0, weight_at = 0, left = tap;
      bool inside = true;
      for (size_t d = dims; d-- > 0;) {
        const int64_t k = left % s.weight[lead + 2 + d], found = source(d, place[d + 2], k);
        left /= s.weight[lead + 2 + d];
        inside = inside && found >= 0;
        from += found * form_.x.strides[d + 2];
        weight_at += k * form_.weight.strides[lead + 2 + d];
      }
      for (int64_t c = 0; inside && c < inputs; ++c)
        sum += x[from + c * form_.x.strides[1]] * w[weight_at + c * form_.weight.strides[lead + 1]];
    }
    finish(at, place, sum);
  }

  void finish(const Addresses& at, const Sizes& place, double sum) const {
    const Finish<double> finish = {form_.dtype, form_.epilogue};
    const auto element = [&](const StepTensor& tensor) {
      int64_t offset = 0;
      for (size_t d = 0; d < place.size(); ++d) offset += place[d] * tensor.strides[d];
      return tensor.at(at) + offset * dtype_size(tensor.dtype);
    };
    if (form_.bias)
      finish.add(form_.bias->at(at) + place[1] * form_.bias->strides[0] * dtype_size(form_.dtype), 1, &sum,
                 1);
    if (form_.residual) finish.add(element(*form_.residual), 1, &sum, 1);
    finish.store(&sum, element(form_.y), 1, 1);
  }

  ConvForm form_;
  int threads_;
};

}  // namespace

Result<std::unique_ptr<StepKernel>> make_loop_matmul(const StepShapes& step) {
  HR_ASSIGN(MatmulForm form, matmul_form(step));
  if (form.packed) return malformed(step, "its packed weight is of no dtype or size that is packed");
  switch (lane_of(form.dtype)) {
    case Lane::kFloat:
      return std::unique_ptr<StepKernel>(std::make_unique<LoopMatmul<float>>(form, step.threads));
    case Lane::kDouble:
      return std::unique_ptr<StepKernel>(std::make_unique<LoopMatmul<double>>(form, step.threads));
    case Lane::kInt:
      return std::unique_ptr<StepKernel>(std::make_unique<LoopMatmul<int64_t>>(form, step.threads));
    case Lane::kBool: return malformed(step, "bools have no product");
  }
  return malformed(step, "its dtype is unknown");
}

Result<std::unique_ptr<StepKernel>> make_loop_conv(const StepShapes& step) {
  HR_ASSIGN(ConvForm form, conv_form(step));
  if (form.packed) return malformed(step, "its weight is packed, and is of no dtype that is");
  return std::unique_ptr<StepKernel>(std::make_unique<LoopConv>(std::move(form), step.threads));
}

}  // namespace headrace::cpu
