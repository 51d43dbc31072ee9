// rotary: position embedding by rotation, row by row.
#include "kernels/cpu/norm_kernels.h"
#include "kernels/cpu/row_io.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {
namespace {

constexpr size_t kTensors = 4;  // y, x, cos, sin

template <class T>
class RotaryKernel : public StepKernel {
 public:
  RotaryKernel(const StepShapes& step, std::vector<Sizes> strides)
      : tensors_{step.outputs[0], *step.inputs[0], *step.inputs[1], *step.inputs[2]},
        interleaved_(step.step->attributes.flag("interleaved")) {
    Sizes outer = tensors_[0].shape;
    const int64_t width = outer.back();
    outer.pop_back();
    for (size_t t = 0; t < kTensors; ++t) {
      rows_[t] = RowIo(tensors_[t].dtype, {width}, {strides[t].back()});
      strides[t].pop_back();
    }
    outer_ = make_nest(outer, strides);
    half_ = width / 2;
    row_bytes_ = (width * static_cast<int64_t>(sizeof(T)) + 63) & ~int64_t{63};
    threads_ = worthwhile_threads(step.threads, static_cast<double>(tensors_[0].elements()) * 0.3);
  }

  Bytes workspace() const override { return {row_bytes_ * static_cast<int64_t>(kTensors) * threads_}; }

  Status run(const Addresses& at) const override {
    if (tensors_[0].elements() == 0) return {};
    parallel_ranges(threads_, outer_.outer(0), [&](int thread, int64_t begin, int64_t end) {
      std::byte* memory = at.workspace + thread * row_bytes_ * static_cast<int64_t>(kTensors);
      const auto buffer = [&](size_t t) {
        return reinterpret_cast<T*>(memory + row_bytes_ * static_cast<int64_t>(t));
      };
      NestWalk<kTensors> walk(outer_, begin, 0);
      for (int64_t row = begin; row < end; ++row, walk.next()) {
        const auto place = [&](size_t t) {
          return tensors_[t].at(at) + walk[t] * dtype_size(tensors_[t].dtype);
        };
        const T* operands[kTensors] = {};
        for (size_t t = 1; t < kTensors; ++t) operands[t] = rows_[t].read(place(t), buffer(t));
        T* y = rows_[0].target(place(0), buffer(0));
        const RowFunctions<T>& functions = tile_functions().row<T>();
        (interleaved_ ? functions.rotate_pairs : functions.rotate)(operands[1], operands[2], operands[3], y,
                                                                   half_);
        rows_[0].write(y, place(0));
      }
    });
    return {};
  }

 private:
  StepTensor tensors_[kTensors];
  RowIo rows_[kTensors];
  LoopNest outer_;
  int64_t half_ = 0, row_bytes_ = 0;
  int threads_ = 1;
  bool interleaved_;
};

}  // namespace

Result<std::unique_ptr<StepKernel>> make_rotary(const StepShapes& step) {
  HR_TRY(check_form(step, 3, 3, 1));
  const StepTensor &x = *step.inputs[0], &y = step.outputs[0];
  if (y.shape != x.shape || y.dtype != x.dtype || x.shape.empty() || x.shape.back() % 2 != 0)
    return malformed(step, "sizes {} to {}; the last must be even", sizes_text(x.shape), sizes_text(y.shape));
  std::vector<Sizes> strides = {y.strides, x.strides};
  for (size_t i = 0; i < 3; ++i) {
    if (!is_float(step.inputs[i]->dtype) || lane_of(step.inputs[i]->dtype) != lane_of(x.dtype))
      return malformed(step, "operand {} is {}", i, dtype_name(step.inputs[i]->dtype));
    if (i == 0) continue;
    HR_ASSIGN(Sizes aligned, broadcast_strides(step, *step.inputs[i], x.shape));
    strides.push_back(std::move(aligned));
  }
  if (x.dtype == DType::kF64)
    return std::unique_ptr<StepKernel>(std::make_unique<RotaryKernel<double>>(step, strides));
  return std::unique_ptr<StepKernel>(std::make_unique<RotaryKernel<float>>(step, strides));
}

}  // namespace headrace::cpu
