// layer_norm, rms_norm, group_norm and softmax: a statistic of each row, then a pass over it.
#include <cmath>

#include "kernels/cpu/norm_kernels.h"
#include "kernels/cpu/row_io.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {
namespace {

enum class NormKind { kLayer, kRms, kGroup, kSoftmax, kLogSoftmax };

// The rows that a step works on: x seen as outer dims times row dims.
struct RowView {
  NormKind kind = NormKind::kLayer;
  Sizes outer_shape, x_outer, y_outer;  // sizes and strides
  Sizes row_shape, x_row, y_row;
  int64_t groups = 1;    // group_norm: rows take turns over them
  int64_t channels = 1;  // group_norm: of one row
};

template <class T>
class NormKernel : public StepKernel {
 public:
  NormKernel(const StepShapes& step, const RowView& view)
      : view_(view), x_(*step.inputs[0]), y_(step.outputs[0]), eps_(step.step->attributes.number("eps")) {
    if (step.inputs.size() > 1) scale_ = step.inputs[1];
    if (step.inputs.size() > 2) bias_ = step.inputs[2];
    const Sizes outer[] = {view.y_outer, view.x_outer};
    // The order of groups tells a row its channels.
    const Sizes ordered[] = {row_major_strides(view.outer_shape), view.y_outer, view.x_outer};
    outer_ =
        make_nest(view.outer_shape, view.kind == NormKind::kGroup ? std::span<const Sizes>(ordered) : outer);
    if (view.kind == NormKind::kGroup) outer_.strides.erase(outer_.strides.begin());
    read_ = RowIo(x_.dtype, view.row_shape, view.x_row);
    write_ = RowIo(y_.dtype, view.row_shape, view.y_row);
    const auto work = static_cast<double>(x_.elements());
    threads_ = worthwhile_threads(step.threads, work * (sizeof(T) == 8 ? 3 : 0.4));
    const bool needs_row = !read_.direct() || !write_.direct();
    row_bytes_ = needs_row ? padded(read_.length()) : 0;
  }

  Bytes workspace() const override {
    return {padded(scale_ ? scale_->elements() : 0) + padded(bias_ ? bias_->elements() : 0) +
            row_bytes_ * threads_};
  }

  Status run(const Addresses& at) const override {
    std::byte* memory = at.workspace;
    const T* scale = widened(scale_, at, memory);
    const T* bias = widened(bias_, at, memory);
    if (x_.elements() == 0) return {};
    parallel_ranges(threads_, outer_.outer(0), [&](int thread, int64_t begin, int64_t end) {
      T* buffer = reinterpret_cast<T*>(memory + thread * row_bytes_);
      NestWalk<2> walk(outer_, begin, 0);
      for (int64_t row = begin; row < end; ++row, walk.next()) {
        std::byte* to = y_.at(at) + walk[0] * dtype_size(y_.dtype);
        const T* x = read_.read(x_.at(at) + walk[1] * dtype_size(x_.dtype), buffer);
        T* y = write_.target(to, buffer);
        compute(row, x, y, scale, bias);
        write_.write(y, to);
      }
    });
    return {};
  }

 private:
  static int64_t padded(int64_t elements) {
    return (elements * static_cast<int64_t>(sizeof(T)) + 63) & ~int64_t{63};
  }
  // A small operand as a tile; in place, or at `memory`, which moves on.
  const T* widened(const std::optional<StepTensor>& tensor, const Addresses& at, std::byte*& memory) const {
    if (!tensor) return nullptr;
    const T* tile = RowIo(tensor->dtype, tensor->shape, tensor->strides)
                        .read(tensor->at(at), reinterpret_cast<T*>(memory));
    memory += padded(tensor->elements());
    return tile;
  }

  void compute(int64_t row, const T* x, T* y, const T* scale, const T* bias) const {
    const RowFunctions<T>& functions = tile_functions().row<T>();
    const FoldFunctions<T>& fold = tile_functions().fold<T>();
    const int64_t n = read_.length();
    const auto count = static_cast<double>(n);
    switch (view_.kind) {
      case NormKind::kSoftmax: {
        const T peak = static_cast<T>(fold.row[static_cast<size_t>(Fold::kMax)](x, n));
        functions.exp(x, peak, y, n);
        const double sum = fold.row[static_cast<size_t>(Fold::kSum)](y, n);
        return functions.scale(y, T(0), static_cast<T>(1 / sum), T(0), y, n);
      }
      case NormKind::kLogSoftmax: {
        const T peak = static_cast<T>(fold.row[static_cast<size_t>(Fold::kMax)](x, n));
        return functions.scale(x, peak, T(1), static_cast<T>(-std::log(functions.exp_sum(x, peak, n))), y, n);
      }
      case NormKind::kRms: {
        const double mean_square = functions.square_sum(x, T(0), n) / count;
        return functions.affine(x, T(0), static_cast<T>(1 / std::sqrt(mean_square + eps_)), scale, bias, y,
                                n);
      }
      case NormKind::kLayer:
      case NormKind::kGroup: break;
    }
    const T mean = static_cast<T>(fold.row[static_cast<size_t>(Fold::kSum)](x, n) / count);
    const T factor = static_cast<T>(1 / std::sqrt(functions.square_sum(x, mean, n) / count + eps_));
    if (view_.kind == NormKind::kLayer) return functions.affine(x, mean, factor, scale, bias, y, n);
    const int64_t first = row % view_.groups * view_.channels, size = n / view_.channels;
    for (int64_t c = 0; c < view_.channels; ++c) {
      functions.scale(x + c * size, mean, scale ? factor * scale[first + c] : factor,
                      bias ? bias[first + c] : T(0), y + c * size, size);
    }
  }

  RowView view_;
  StepTensor x_, y_;
  std::optional<StepTensor> scale_, bias_;
  double eps_;
  LoopNest outer_;  // of y, x
  RowIo read_, write_;
  int64_t row_bytes_ = 0;
  int threads_ = 1;
};

std::unique_ptr<StepKernel> make_norm(const StepShapes& step, const RowView& view) {
  if (step.inputs[0]->dtype == DType::kF64) return std::make_unique<NormKernel<double>>(step, view);
  return std::make_unique<NormKernel<float>>(step, view);
}

// x is a float tensor, y has its dtype and sizes.
Status check_same(const StepShapes& step) {
  const StepTensor& x = *step.inputs[0];
  if (!is_float(x.dtype) || step.outputs[0].dtype != x.dtype || step.outputs[0].shape != x.shape)
    return malformed(step, "its output must be of the dtype and the sizes of its input, a float tensor");
  return {};
}

// Operand `i`, if there, is of `elements` elements and of x's lane.
Status check_operand(const StepShapes& step, size_t i, int64_t elements) {
  if (step.inputs.size() <= i || !step.inputs[i]) return {};
  const StepTensor& operand = *step.inputs[i];
  if (operand.elements() != elements || lane_of(operand.dtype) != lane_of(step.inputs[0]->dtype))
    return malformed(step, "operand {} is {} of sizes {}; {} elements are due", i, dtype_name(operand.dtype),
                     sizes_text(operand.shape), elements);
  return {};
}

// The dims of x in [from, to) are the row's, the others are outer.
RowView split(const StepShapes& step, NormKind kind, size_t from, size_t to) {
  const StepTensor &x = *step.inputs[0], &y = step.outputs[0];
  RowView view{.kind = kind};
  for (size_t d = 0; d < x.shape.size(); ++d) {
    const bool in_row = d >= from && d < to;
    (in_row ? view.row_shape : view.outer_shape).push_back(x.shape[d]);
    (in_row ? view.x_row : view.x_outer).push_back(x.strides[d]);
    (in_row ? view.y_row : view.y_outer).push_back(y.strides[d]);
  }
  return view;
}

Result<std::unique_ptr<StepKernel>> make_trailing_norm(const StepShapes& step, NormKind kind) {
  HR_TRY(check_form(step, 1, kind == NormKind::kLayer ? 3 : 2, 1));
  HR_TRY(check_same(step));
  const Sizes& shape = step.inputs[0]->shape;
  const int64_t axes = step.step->attributes.integer("axes", 1);
  if (axes < 1 || axes > static_cast<int64_t>(shape.size()))
    return malformed(step, "axes {} of a tensor of sizes {}", axes, sizes_text(shape));
  const RowView view = split(step, kind, shape.size() - static_cast<size_t>(axes), shape.size());
  HR_TRY(check_operand(step, 1, element_count(view.row_shape)));
  HR_TRY(check_operand(step, 2, element_count(view.row_shape)));
  return make_norm(step, view);
}
Result<std::unique_ptr<StepKernel>> make_layer_norm(const StepShapes& step) {
  return make_trailing_norm(step, NormKind::kLayer);
}
Result<std::unique_ptr<StepKernel>> make_rms_norm(const StepShapes& step) {
  return make_trailing_norm(step, NormKind::kRms);
}

Result<std::unique_ptr<StepKernel>> make_group_norm(const StepShapes& step) {
  HR_TRY(check_form(step, 1, 3, 1));
  HR_TRY(check_same(step));
  const StepTensor &x = *step.inputs[0], &y = step.outputs[0];
  const int64_t groups = step.step->attributes.integer("groups", 1);
  if (x.shape.size() < 2 || groups < 1 || x.shape[1] % groups != 0)
    return malformed(step, "{} groups of a tensor of sizes {}", groups, sizes_text(x.shape));
  HR_TRY(check_operand(step, 1, x.shape[1]));
  HR_TRY(check_operand(step, 2, x.shape[1]));
  RowView view = split(step, NormKind::kGroup, 1, x.shape.size());
  view.groups = groups;
  view.channels = x.shape[1] / groups;
  view.row_shape[0] = view.channels;
  view.outer_shape.push_back(groups);
  view.x_outer.push_back(x.strides[1] * view.channels);
  view.y_outer.push_back(y.strides[1] * view.channels);
  return make_norm(step, view);
}

Result<std::unique_ptr<StepKernel>> make_softmax(const StepShapes& step) {
  HR_TRY(check_form(step, 1, 1, 1));
  HR_TRY(check_same(step));
  const int64_t axis = step.step->attributes.integer("axis");
  if (step.inputs[0]->shape.empty() && axis == 0)  // PyTorch takes a scalar, too
    return make_norm(
        step,
        split(step, step.step->attributes.flag("log") ? NormKind::kLogSoftmax : NormKind::kSoftmax, 0, 0));
  HR_TRY(check_axis(step, *step.inputs[0], axis));
  const NormKind kind = step.step->attributes.flag("log") ? NormKind::kLogSoftmax : NormKind::kSoftmax;
  return make_norm(step, split(step, kind, static_cast<size_t>(axis), static_cast<size_t>(axis) + 1));
}

constexpr KernelRow kRows[] = {{"layer_norm", make_layer_norm},
                               {"rms_norm", make_rms_norm},
                               {"group_norm", make_group_norm},
                               {"softmax", make_softmax},
                               {"rotary", make_rotary}};

}  // namespace

std::span<const KernelRow> norm_kernels() { return kRows; }

}  // namespace headrace::cpu
