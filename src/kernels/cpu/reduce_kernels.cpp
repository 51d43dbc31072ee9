// reduce: folds over any axes.
//
// Where the kept dims lie innermost, a block of columns is folded row by row; else each result folds its own
// row. Either way the order of additions depends on the shape alone.
#include "kernels/cpu/reduce_kernels.h"

#include <limits>

#include "kernels/cpu/for_lane.h"
#include "kernels/cpu/lane_io.h"
#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {
namespace {

enum class Finish { kNone, kMean };

struct ReduceForm {
  Fold fold = Fold::kSum;
  Finish finish = Finish::kNone;
  bool truth = false;  // any, all: elements are compared with 0 first
  LoopNest kept;       // of x, y
  LoopNest reduced;    // of x
};

template <class T>
Accumulator<T> identity(Fold fold) {
  using A = Accumulator<T>;
  constexpr bool integer = std::numeric_limits<A>::is_integer;
  switch (fold) {
    case Fold::kSum: return 0;
    case Fold::kProduct: return 1;
    case Fold::kMax: return integer ? std::numeric_limits<A>::min() : -std::numeric_limits<A>::infinity();
    case Fold::kMin: return integer ? std::numeric_limits<A>::max() : std::numeric_limits<A>::infinity();
  }
  return 0;
}

template <class T>
class ReduceKernel : public StepKernel {
 public:
  using A = Accumulator<T>;
  ReduceKernel(const StepShapes& step, ReduceForm form)
      : form_(std::move(form)),
        x_(*step.inputs[0]),
        y_(step.outputs[0]),
        io_(x_.dtype, y_.dtype, form_.truth) {
    count_ = form_.reduced.outer(0);
    outputs_ = y_.elements();
    by_columns_ = form_.kept.strides[0].back() == 1 && form_.kept.inner() > 1 &&
                  (form_.reduced.strides[0].back() != 1 || form_.reduced.inner() == 1);
    if (by_columns_) blocks_ = (form_.kept.inner() + kLaneBlock - 1) / kLaneBlock;
    const auto work = static_cast<double>(outputs_) * static_cast<double>(count_);
    threads_ = worthwhile_threads(step.threads, work * (sizeof(T) == 8 ? 0.5 : 0.15));
  }

  Status run(const Addresses& at) const override {
    if (outputs_ == 0) return {};
    const int64_t units = by_columns_ ? form_.kept.outer() * blocks_ : outputs_;
    parallel_ranges(threads_, units, [&](int, int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit)
        by_columns_ ? fold_columns(at, unit) : fold_row(at, unit);
    });
    return {};
  }

 private:
  size_t fold() const { return static_cast<size_t>(form_.fold); }
  const std::byte* x_at(const Addresses& at, int64_t element) const {
    return x_.at(at) + element * dtype_size(x_.dtype);
  }

  void fold_row(const Addresses& at, int64_t unit) const {
    const FoldFunctions<T>& functions = tile_functions().fold<T>();
    const int64_t base = form_.kept.offset(0, unit, 0), n = count_ == 0 ? 0 : form_.reduced.inner();
    const int64_t stride = form_.reduced.strides[0].back();
    A acc = identity<T>(form_.fold);
    const auto add = [&](const T* tile, int64_t n) {
      const A part = functions.row[fold()](tile, n);
      const T narrow = static_cast<T>(part);
      if (form_.fold == Fold::kSum) {
        acc = static_cast<A>(static_cast<Wide>(acc) + static_cast<Wide>(part));
      } else if (form_.fold == Fold::kProduct) {
        acc = static_cast<A>(static_cast<Wide>(acc) * static_cast<Wide>(part));
      } else {
        functions.into[fold()](&narrow, &acc, 1);
      }
    };
    for (int64_t row = 0; n > 0 && row < form_.reduced.outer(); ++row) {
      const std::byte* from = x_at(at, base + form_.reduced.offset(0, row));
      if (io_.direct() && stride == 1) {
        add(reinterpret_cast<const T*>(from), n);
        continue;
      }
      for (int64_t i = 0; i < n; i += kLaneBlock) {
        T tile[kLaneBlock];
        const int64_t part = std::min(kLaneBlock, n - i);
        io_.load(from + i * stride * dtype_size(x_.dtype), stride, tile, part);
        add(tile, part);
      }
    }
    finish(at, form_.kept.offset(1, unit, 0), 0, &acc, 1);
  }

  void fold_columns(const Addresses& at, int64_t unit) const {
    const FoldFunctions<T>& functions = tile_functions().fold<T>();
    const int64_t column = unit % blocks_ * kLaneBlock, n = std::min(kLaneBlock, form_.kept.inner() - column);
    const int64_t base = form_.kept.offset(0, unit / blocks_) + column;
    A acc[kLaneBlock];
    std::fill_n(acc, n, identity<T>(form_.fold));
    const int64_t inner = form_.reduced.inner(), stride = form_.reduced.strides[0].back();
    for (int64_t row = 0; count_ > 0 && row < form_.reduced.outer(); ++row) {
      const int64_t start = base + form_.reduced.offset(0, row);
      for (int64_t i = 0; i < inner; ++i) {
        T tile[kLaneBlock];
        const std::byte* from = x_at(at, start + i * stride);
        if (!io_.direct()) io_.load(from, 1, tile, n);
        functions.into[fold()](io_.direct() ? reinterpret_cast<const T*>(from) : tile, acc, n);
      }
    }
    const int64_t y_stride = form_.kept.strides[1].back();
    finish(at, form_.kept.offset(1, unit / blocks_) + column * y_stride, y_stride, acc, n);
  }

  void finish(const Addresses& at, int64_t element, int64_t stride, A* acc, int64_t n) const {
    T tile[kLaneBlock];
    for (int64_t i = 0; i < n; ++i) {
      const A value = form_.finish == Finish::kMean
                          ? static_cast<A>(static_cast<double>(acc[i]) / static_cast<double>(count_))
                          : acc[i];
      tile[i] = static_cast<T>(value);
    }
    io_.store(tile, y_.at(at) + element * dtype_size(y_.dtype), stride, n);
  }

  // Sums of integers wrap.
  using Wide = std::conditional_t<std::is_same_v<A, int64_t>, uint64_t, double>;

  ReduceForm form_;
  StepTensor x_, y_;
  LaneIo<T> io_;
  int64_t count_ = 0, outputs_ = 0, blocks_ = 1;
  bool by_columns_ = false;
  int threads_ = 1;
};

Status read_kind(const StepShapes& step, ReduceForm& form) {
  const std::string kind = step.step->attributes.text("kind");
  const DType x = step.inputs[0]->dtype;
  form.truth = kind == "any" || kind == "all";
  if (kind == "sum" || kind == "mean") {
    form.fold = Fold::kSum;
  } else if (kind == "prod") {
    form.fold = Fold::kProduct;
  } else if (kind == "max" || kind == "any") {
    form.fold = Fold::kMax;
  } else if (kind == "min" || kind == "all") {
    form.fold = Fold::kMin;
  } else {
    return malformed(step, "its kind is '{}'", kind);
  }
  if (kind == "mean") form.finish = Finish::kMean;
  if (step.outputs[0].dtype != (form.truth ? DType::kBool : x) || (kind == "mean" && !is_float(x)))
    return malformed(step, "{} of {} to {}", kind, dtype_name(x), dtype_name(step.outputs[0].dtype));
  return {};
}

Result<std::unique_ptr<StepKernel>> make_reduce(const StepShapes& step) {
  HR_TRY(check_form(step, 1, 1, 1));
  ReduceForm form;
  HR_TRY(read_kind(step, form));
  const StepTensor& x = *step.inputs[0];
  std::vector<bool> is_reduced(x.shape.size());
  for (const int64_t axis : step.step->attributes.integers("axes")) {
    HR_TRY(check_axis(step, x, axis));
    is_reduced[static_cast<size_t>(axis)] = true;
  }
  HR_ASSIGN(const ReducedDims dims, split_reduced(step, is_reduced));
  const Sizes kept[] = {dims.x_kept, dims.y_kept}, reduced[] = {dims.x_reduced};
  form.kept = make_nest(dims.kept, kept);
  form.reduced = make_nest(dims.reduced, reduced);
  const bool extreme = !form.truth && (form.fold == Fold::kMax || form.fold == Fold::kMin);
  if (extreme && element_count(dims.reduced) == 0 && element_count(dims.kept) > 0)
    return invalid_argument("'{}': the {} of no elements; its input has sizes {}", step.step->label,
                            step.step->attributes.text("kind"), sizes_text(x.shape));
  return make_for_lane<ReduceKernel>(form.truth || x.dtype == DType::kBool ? Lane::kInt : lane_of(x.dtype),
                                     step, std::move(form));
}

constexpr KernelRow kRows[] = {
    {"reduce", make_reduce}, {"arg_reduce", make_arg_reduce}, {"cumsum", make_cumsum}};

}  // namespace

Result<ReducedDims> split_reduced(const StepShapes& step, const std::vector<bool>& is_reduced) {
  const StepTensor &x = *step.inputs[0], &y = step.outputs[0];
  ReducedDims dims;
  const bool keeps = y.shape.size() == x.shape.size();
  size_t at = 0;
  for (size_t d = 0; d < x.shape.size(); ++d) {
    if (is_reduced[d]) {
      dims.reduced.push_back(x.shape[d]);
      dims.x_reduced.push_back(x.strides[d]);
    } else {
      dims.kept.push_back(x.shape[d]);
      dims.x_kept.push_back(x.strides[d]);
    }
    if (is_reduced[d] && !keeps) continue;
    if (at >= y.shape.size() || y.shape[at] != (is_reduced[d] ? 1 : x.shape[d]))
      return malformed(step, "sizes {} do not reduce to {}", sizes_text(x.shape), sizes_text(y.shape));
    if (!is_reduced[d]) dims.y_kept.push_back(y.strides[at]);
    ++at;
  }
  if (at != y.shape.size())
    return malformed(step, "sizes {} do not reduce to {}", sizes_text(x.shape), sizes_text(y.shape));
  return dims;
}

std::span<const KernelRow> reduce_kernels() { return kRows; }

}  // namespace headrace::cpu
