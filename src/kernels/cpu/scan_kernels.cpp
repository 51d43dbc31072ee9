// arg_reduce and cumsum: walks along one axis.
#include "kernels/cpu/for_lane.h"
#include "kernels/cpu/lane_io.h"
#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/reduce_kernels.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {
namespace {

// x and y seen as lines along one axis. Where lines lie side by side, up to kLaneBlock are walked at once.
struct Lines {
  LoopNest nest;  // of x, y, without the axis
  int64_t length = 0, x_step = 0, y_step = 0;
  bool side_by_side = false;
  int64_t blocks = 1;

  void finish() {
    side_by_side = nest.strides[0].back() == 1 && nest.inner() > 1 && x_step != 1;
    if (side_by_side) blocks = (nest.inner() + kLaneBlock - 1) / kLaneBlock;
  }
  // Calls kernel.columns(at, unit) or kernel.line(at, unit) for each unit: lines side by side, or one.
  template <class Kernel>
  void walk(int threads, const Kernel& kernel, const Addresses& at) const {
    parallel_ranges(threads, units(), [&](int, int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit)
        side_by_side ? kernel.columns(at, unit) : kernel.line(at, unit);
    });
  }
  int64_t units() const { return side_by_side ? nest.outer() * blocks : nest.outer(0); }
  int64_t column(int64_t unit) const { return side_by_side ? unit % blocks * kLaneBlock : 0; }
  int64_t width(int64_t unit) const {
    return side_by_side ? std::min(kLaneBlock, nest.inner() - column(unit)) : 1;
  }
  int64_t start(size_t t, int64_t unit) const {
    if (!side_by_side) return nest.offset(t, unit, 0);
    return nest.offset(t, unit / blocks) + column(unit) * nest.strides[t].back();
  }
};

template <class T>
class ArgReduceKernel : public StepKernel {
 public:
  ArgReduceKernel(const StepShapes& step, Lines lines, bool max)
      : lines_(std::move(lines)),
        x_(*step.inputs[0]),
        y_(step.outputs[0]),
        io_(x_.dtype, DType::kI64),
        max_(max) {
    threads_ = worthwhile_threads(step.threads, static_cast<double>(x_.elements()));
  }

  Status run(const Addresses& at) const override {
    if (y_.elements() > 0) lines_.walk(threads_, *this, at);
    return {};
  }

 private:
  friend struct Lines;
  // NaN beats all numbers; the first of equals stays.
  bool beats(T x, T best) const { return (max_ ? x > best : x < best) || (x != x && best == best); }

  void line(const Addresses& at, int64_t unit) const {
    const std::byte* from = x_.at(at) + lines_.start(0, unit) * dtype_size(x_.dtype);
    T best = {};
    int64_t best_at = 0;
    for (int64_t i = 0; i < lines_.length; i += kLaneBlock) {
      T tile[kLaneBlock];
      const int64_t n = std::min(kLaneBlock, lines_.length - i);
      io_.load(from + i * lines_.x_step * dtype_size(x_.dtype), lines_.x_step, tile, n);
      if (i == 0) best = tile[0];
      for (int64_t k = 0; k < n; ++k) {
        if (beats(tile[k], best)) best = tile[k], best_at = i + k;
      }
    }
    reinterpret_cast<int64_t*>(y_.at(at))[lines_.start(1, unit)] = best_at;
  }

  void columns(const Addresses& at, int64_t unit) const {
    const int64_t n = lines_.width(unit), start = lines_.start(0, unit);
    T best[kLaneBlock];
    int64_t best_at[kLaneBlock] = {};
    for (int64_t i = 0; i < lines_.length; ++i) {
      T tile[kLaneBlock];
      io_.load(x_.at(at) + (start + i * lines_.x_step) * dtype_size(x_.dtype), 1, tile, n);
      if (i == 0) std::copy_n(tile, n, best);
      for (int64_t k = 0; k < n; ++k) {
        const bool better = beats(tile[k], best[k]);
        best[k] = better ? tile[k] : best[k];
        best_at[k] = better ? i : best_at[k];
      }
    }
    auto* to = reinterpret_cast<int64_t*>(y_.at(at)) + lines_.start(1, unit);
    for (int64_t k = 0; k < n; ++k) to[k * lines_.nest.strides[1].back()] = best_at[k];
  }

  Lines lines_;
  StepTensor x_, y_;
  LaneIo<T> io_;
  bool max_;
  int threads_ = 1;
};

template <class T>
class CumsumKernel : public StepKernel {
 public:
  CumsumKernel(const StepShapes& step, Lines lines)
      : lines_(std::move(lines)), x_(*step.inputs[0]), y_(step.outputs[0]), io_(x_.dtype, y_.dtype) {
    threads_ = worthwhile_threads(step.threads, static_cast<double>(x_.elements()));
  }

  Status run(const Addresses& at) const override {
    if (y_.elements() > 0) lines_.walk(threads_, *this, at);
    return {};
  }

 private:
  friend struct Lines;
  using A = Accumulator<T>;
  using Wide = std::conditional_t<std::is_same_v<A, int64_t>, uint64_t, double>;
  static A sum(A a, T b) { return static_cast<A>(static_cast<Wide>(a) + static_cast<Wide>(b)); }

  void line(const Addresses& at, int64_t unit) const {
    const std::byte* from = x_.at(at) + lines_.start(0, unit) * dtype_size(x_.dtype);
    std::byte* to = y_.at(at) + lines_.start(1, unit) * dtype_size(y_.dtype);
    A acc = 0;
    for (int64_t i = 0; i < lines_.length; i += kLaneBlock) {
      T tile[kLaneBlock];
      const int64_t n = std::min(kLaneBlock, lines_.length - i);
      io_.load(from + i * lines_.x_step * dtype_size(x_.dtype), lines_.x_step, tile, n);
      for (int64_t k = 0; k < n; ++k) tile[k] = static_cast<T>(acc = sum(acc, tile[k]));
      io_.store(tile, to + i * lines_.y_step * dtype_size(y_.dtype), lines_.y_step, n);
    }
  }

  void columns(const Addresses& at, int64_t unit) const {
    const int64_t n = lines_.width(unit), from = lines_.start(0, unit), to = lines_.start(1, unit);
    A acc[kLaneBlock] = {};
    for (int64_t i = 0; i < lines_.length; ++i) {
      T tile[kLaneBlock];
      io_.load(x_.at(at) + (from + i * lines_.x_step) * dtype_size(x_.dtype), 1, tile, n);
      for (int64_t k = 0; k < n; ++k) tile[k] = static_cast<T>(acc[k] = sum(acc[k], tile[k]));
      io_.store(tile, y_.at(at) + (to + i * lines_.y_step) * dtype_size(y_.dtype),
                lines_.nest.strides[1].back(), n);
    }
  }

  Lines lines_;
  StepTensor x_, y_;
  LaneIo<T> io_;
  int threads_ = 1;
};

Lane scan_lane(DType dtype) { return dtype == DType::kBool ? Lane::kInt : lane_of(dtype); }

}  // namespace

Result<std::unique_ptr<StepKernel>> make_arg_reduce(const StepShapes& step) {
  HR_TRY(check_form(step, 1, 1, 1));
  const StepTensor& x = *step.inputs[0];
  const std::string kind = step.step->attributes.text("kind");
  const int64_t axis = step.step->attributes.integer("axis");
  HR_TRY(check_axis(step, x, axis));
  if ((kind != "max" && kind != "min") || step.outputs[0].dtype != DType::kI64)
    return malformed(step, "its kind is '{}', its output {}", kind, dtype_name(step.outputs[0].dtype));
  std::vector<bool> is_reduced(x.shape.size());
  is_reduced[static_cast<size_t>(axis)] = true;
  HR_ASSIGN(const ReducedDims dims, split_reduced(step, is_reduced));
  const Sizes kept[] = {dims.x_kept, dims.y_kept};
  Lines lines{.nest = make_nest(dims.kept, kept), .length = dims.reduced[0], .x_step = dims.x_reduced[0]};
  lines.finish();
  if (lines.length == 0 && step.outputs[0].elements() > 0)
    return invalid_argument("'{}': the arg {} of no elements; its input has sizes {}", step.step->label, kind,
                            sizes_text(x.shape));
  return make_for_lane<ArgReduceKernel>(scan_lane(x.dtype), step, std::move(lines), kind == "max");
}

Result<std::unique_ptr<StepKernel>> make_cumsum(const StepShapes& step) {
  HR_TRY(check_form(step, 1, 1, 1));
  const StepTensor &x = *step.inputs[0], &y = step.outputs[0];
  if (x.dtype != y.dtype || x.dtype == DType::kBool || x.shape != y.shape)
    return malformed(step, "{} of sizes {} to {} of sizes {}", dtype_name(x.dtype), sizes_text(x.shape),
                     dtype_name(y.dtype), sizes_text(y.shape));
  const auto axis = static_cast<size_t>(step.step->attributes.integer("axis"));
  Sizes shape = x.shape, x_strides = x.strides, y_strides = y.strides;
  Lines lines{.length = 1, .x_step = 1, .y_step = 1};
  if (!(shape.empty() && axis == 0)) {  // PyTorch takes a scalar, too
    HR_TRY(check_axis(step, x, static_cast<int64_t>(axis)));
    lines.length = shape[axis];
    lines.x_step = x_strides[axis];
    lines.y_step = y_strides[axis];
    for (Sizes* sizes : {&shape, &x_strides, &y_strides})
      sizes->erase(sizes->begin() + static_cast<ptrdiff_t>(axis));
  }
  const Sizes others[] = {x_strides, y_strides};
  lines.nest = make_nest(shape, others);
  lines.finish();
  return make_for_lane<CumsumKernel>(scan_lane(x.dtype), step, std::move(lines));
}

}  // namespace headrace::cpu
