// Batch norm in its inference form, where it was not folded into a convolution: y = x * factor + shift by
// channel.
#include <cmath>

#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

namespace {

constexpr int64_t kRun = 512;  // elements computed at once

template <class T>
class BatchNormKernel : public StepKernel {
 public:
  BatchNormKernel(const StepShapes& step, size_t axis)
      : operands_(step.inputs.begin() + 1, step.inputs.end()),
        x_(*step.inputs[0]),
        y_(step.outputs[0]),
        eps_(step.step->attributes.number("eps")),
        channels_(x_.shape[axis]) {
    Sizes channel(x_.shape.size(), 0);
    channel[axis] = 1;
    const Sizes strides[] = {y_.strides, x_.strides, channel};
    nest_ = make_nest(x_.shape, strides);
    threads_ = worthwhile_threads(step.threads, static_cast<double>(x_.elements()) * 0.3);
  }

  Bytes workspace() const override { return {2 * channels_ * static_cast<int64_t>(sizeof(T))}; }

  Status run(const Addresses& at) const override {
    T* factor = reinterpret_cast<T*>(at.workspace);
    T* shift = factor + channels_;
    read_channels(at, factor, shift);
    parallel_ranges(threads_, nest_.outer(), [&](int, int64_t begin, int64_t end) {
      NestWalk<3> walk(nest_, begin, 1);
      for (int64_t row = begin; row < end; ++row, walk.next()) run_row(at, walk, factor, shift);
    });
    return {};
  }

 private:
  void read_channels(const Addresses& at, T* factor, T* shift) const {
    const auto value = [&](size_t operand, int64_t c, T fallback) {
      if (!operands_[operand]) return fallback;
      const StepTensor& tensor = *operands_[operand];
      T read;
      tile_functions().load[static_cast<size_t>(tensor.dtype)](
          tensor.at(at) + c * tensor.strides[0] * dtype_size(tensor.dtype), 1, &read, 1);
      return read;
    };
    for (int64_t c = 0; c < channels_; ++c) {
      factor[c] = value(0, c, 1) / std::sqrt(value(3, c, 1) + static_cast<T>(eps_));
      shift[c] = value(1, c, 0) - value(2, c, 0) * factor[c];
    }
  }

  void run_row(const Addresses& at, const NestWalk<3>& walk, const T* factor, const T* shift) const {
    alignas(64) T tile[kRun];
    const auto load = tile_functions().load[static_cast<size_t>(x_.dtype)];
    const auto store = tile_functions().store[static_cast<size_t>(y_.dtype)];
    const auto& rows = tile_functions().row<T>();
    const int64_t x_stride = nest_.strides[1].back(), y_stride = nest_.strides[0].back();
    const bool by_channel = nest_.strides[2].back() != 0;
    for (int64_t i = 0; i < nest_.inner(); i += kRun) {
      const int64_t n = std::min(kRun, nest_.inner() - i);
      const int64_t channel = walk[2] + i * nest_.strides[2].back();
      load(x_.at(at) + (walk[1] + i * x_stride) * dtype_size(x_.dtype), x_stride, tile, n);
      if (by_channel) {
        rows.affine(tile, 0, 1, factor + channel, shift + channel, tile, n);
      } else {
        rows.scale(tile, 0, factor[channel], shift[channel], tile, n);
      }
      store(tile, y_.at(at) + (walk[0] + i * y_stride) * dtype_size(y_.dtype), y_stride, n);
    }
  }

  std::vector<std::optional<StepTensor>> operands_;  // scale, bias, mean, variance
  StepTensor x_, y_;
  double eps_;
  int64_t channels_;
  LoopNest nest_;  // of y, x, channel
  int threads_ = 1;
};

Result<std::unique_ptr<StepKernel>> make_batch_norm(const StepShapes& step) {
  if (step.inputs.size() != 5 || !step.inputs[0] || !step.inputs[3] || !step.inputs[4])
    return malformed(step, "it takes x, scale, bias, mean and variance");
  HR_TRY(check_form(step, 1, 5, 1));
  const StepTensor &x = *step.inputs[0], &y = step.outputs[0];
  const int64_t axis = step.step->attributes.integer("axis", 1);
  HR_TRY(check_axis(step, x, axis));
  if (!is_float(x.dtype) || x.dtype != y.dtype || x.shape != y.shape)
    return malformed(step, "{} of sizes {} does not become {} of sizes {}", dtype_name(x.dtype),
                     to_text(x.shape), dtype_name(y.dtype), to_text(y.shape));
  for (size_t i = 1; i < 5; ++i) {
    if (!step.inputs[i]) continue;
    const StepTensor& operand = *step.inputs[i];
    if (operand.shape != Sizes{x.shape[static_cast<size_t>(axis)]} ||
        lane_of(operand.dtype) != lane_of(x.dtype))
      return malformed(step, "operand {} is {} of sizes {}", i, dtype_name(operand.dtype),
                       to_text(operand.shape));
  }
  if (x.dtype == DType::kF64)
    return std::unique_ptr<StepKernel>(
        std::make_unique<BatchNormKernel<double>>(step, static_cast<size_t>(axis)));
  return std::unique_ptr<StepKernel>(
      std::make_unique<BatchNormKernel<float>>(step, static_cast<size_t>(axis)));
}

constexpr KernelRow kRows[] = {{"batch_norm", make_batch_norm}};

}  // namespace

std::span<const KernelRow> batch_norm_kernels() { return kRows; }

}  // namespace headrace::cpu
