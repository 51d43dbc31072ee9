// gather of a kRows weight, whose rows come from a RowSource, and gather_elements.
#include <atomic>

#include "kernels/cpu/copy_loops.h"
#include "kernels/cpu/index_kernels.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {
namespace {

// Rows are fetched in batches of about this size where they cannot be fetched into place.
constexpr int64_t kBatchBytes = 256 * 1024;

class RowGatherKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& step) {
    const StepTensor &x = *step.inputs[0], &y = step.outputs[0];
    auto kernel = std::make_unique<RowGatherKernel>();
    const Sizes& picks = step.inputs[1]->shape;
    Sizes row(x.shape.begin() + 1, x.shape.end());
    Sizes due = picks;
    due.insert(due.end(), row.begin(), row.end());
    const Weight& weight = step.plan->weights[static_cast<size_t>(x.weight)];
    if (step.step->attributes.integer("axis") != 0 || !x.row_major() || x.offset != 0 ||
        x.shape != weight.shape || x.dtype != weight.dtype || y.dtype != x.dtype || y.shape != due)
      return malformed(step, "rows of weight '{}', {} of sizes {}, to sizes {}", weight.name,
                       dtype_name(weight.dtype), sizes_text(weight.shape), sizes_text(y.shape));
    HR_ASSIGN(kernel->reader_, IndexReader::make(step, *step.inputs[1], picks, x.shape[0]));
    kernel->y_ = y;
    kernel->weight_ = x.weight;
    kernel->label_ = step.step->label;
    kernel->picks_ = element_count(picks);
    kernel->row_bytes_ = element_count(row) * dtype_size(x.dtype);
    kernel->in_place_ = y.row_major();
    kernel->batch_ = std::max<int64_t>(
        1, std::min(kernel->picks_, kBatchBytes / std::max<int64_t>(1, kernel->row_bytes_)));
    const auto rank = static_cast<ptrdiff_t>(picks.size());
    const Sizes ordered[] = {row_major_strides(picks), Sizes(y.strides.begin(), y.strides.begin() + rank)};
    kernel->picks_nest_ = make_nest(picks, ordered);
    kernel->picks_nest_.strides.erase(kernel->picks_nest_.strides.begin());
    kernel->row_copy_ = CopyLoop(dtype_size(x.dtype), row, Sizes(y.strides.begin() + rank, y.strides.end()),
                                 row_major_strides(row), 1);
    return std::unique_ptr<StepKernel>(std::move(kernel));
  }

  Bytes workspace() const override { return {indices_bytes() + (in_place_ ? 0 : batch_ * row_bytes_)}; }

  Status run(const Addresses& at) const override {
    if (y_.elements() == 0) return {};
    RowSource* rows =
        static_cast<size_t>(weight_) < at.rows.size() ? at.rows[static_cast<size_t>(weight_)] : nullptr;
    if (rows == nullptr) return internal_error("'{}': no rows were handed in", label_);
    auto* indices = reinterpret_cast<int64_t*>(at.workspace);
    std::fill_n(indices, picks_, 0);
    HR_TRY(reader_.add_offsets(at, 1, indices));
    const auto all = std::span<const int64_t>(indices, static_cast<size_t>(picks_));
    if (in_place_) return rows->gather(all, y_.at(at));
    std::byte* batch = at.workspace + indices_bytes();
    for (int64_t first = 0; first < picks_; first += batch_) {
      const int64_t n = std::min(batch_, picks_ - first);
      HR_TRY(rows->gather(all.subspan(static_cast<size_t>(first), static_cast<size_t>(n)), batch));
      for (int64_t k = 0; k < n; ++k)
        row_copy_.run(y_.at(at) + picks_nest_.offset(0, first + k, 0) * dtype_size(y_.dtype),
                      batch + k * row_bytes_);
    }
    return {};
  }

 private:
  int64_t indices_bytes() const {
    return (picks_ * static_cast<int64_t>(sizeof(int64_t)) + 63) & ~int64_t{63};
  }

  IndexReader reader_;
  StepTensor y_;
  int32_t weight_ = kNone;
  std::string label_;
  int64_t picks_ = 0, row_bytes_ = 0, batch_ = 1;
  bool in_place_ = true;
  LoopNest picks_nest_;  // of y
  CopyLoop row_copy_;
};

class GatherElementsKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& step) {
    HR_TRY(check_form(step, 2, 2, 1));
    const StepTensor &x = *step.inputs[0], &indices = *step.inputs[1], &y = step.outputs[0];
    const int64_t axis = step.step->attributes.integer("axis");
    HR_TRY(check_axis(step, x, axis));
    bool fits = x.shape.size() == indices.shape.size() && y.shape == indices.shape && y.dtype == x.dtype;
    for (size_t d = 0; fits && d < x.shape.size(); ++d)
      fits = static_cast<int64_t>(d) == axis || indices.shape[d] <= x.shape[d];
    if (!fits)
      return malformed(step, "sizes {} by indices of sizes {} to sizes {}", sizes_text(x.shape),
                       sizes_text(indices.shape), sizes_text(y.shape));
    auto kernel = std::make_unique<GatherElementsKernel>();
    kernel->step_ = x.strides[static_cast<size_t>(axis)];
    kernel->limit_ = x.shape[static_cast<size_t>(axis)];
    HR_ASSIGN(kernel->reader_, IndexReader::make(step, indices, indices.shape, kernel->limit_));
    Sizes x_strides = x.strides;
    x_strides[static_cast<size_t>(axis)] = 0;
    const Sizes strides[] = {y.strides, indices.strides, x_strides};
    kernel->nest_ = make_nest(y.shape, strides);
    kernel->x_ = x;
    kernel->indices_ = indices;
    kernel->y_ = y;
    kernel->threads_ = worthwhile_threads(step.threads, static_cast<double>(y.elements()) * 2);
    return std::unique_ptr<StepKernel>(std::move(kernel));
  }

  Status run(const Addresses& at) const override {
    if (y_.elements() == 0) return {};
    std::atomic<int64_t> bad = 0;
    std::atomic<bool> failed = false;
    with_unsigned(dtype_size(x_.dtype), [&]<class T>(T) {
      parallel_ranges(threads_, nest_.outer(), [&](int, int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          const int64_t wrong =
              indices_.dtype == DType::kI32 ? run_row<T, int32_t>(at, row) : run_row<T, int64_t>(at, row);
          if (wrong < nest_.inner()) {
            bad = index_at(at, row, wrong);
            failed = true;
            return;
          }
        }
      });
    });
    return failed ? reader_.out_of_range(bad) : Status();
  }

 private:
  int64_t index_at(const Addresses& at, int64_t row, int64_t i) const {
    const int64_t place = nest_.offset(1, row) + i * nest_.strides[1].back();
    return indices_.dtype == DType::kI32 ? reinterpret_cast<const int32_t*>(indices_.at(at))[place]
                                         : reinterpret_cast<const int64_t*>(indices_.at(at))[place];
  }
  // Where it met an index out of range, else the row's length.
  template <class T, class Index>
  int64_t run_row(const Addresses& at, int64_t row) const {
    T* y = reinterpret_cast<T*>(y_.at(at)) + nest_.offset(0, row);
    const Index* indices = reinterpret_cast<const Index*>(indices_.at(at)) + nest_.offset(1, row);
    const T* x = reinterpret_cast<const T*>(x_.at(at)) + nest_.offset(2, row);
    const int64_t n = nest_.inner();
    for (int64_t i = 0; i < n; ++i) {
      const int64_t raw = indices[i * nest_.strides[1].back()];
      const int64_t index = raw < 0 ? raw + limit_ : raw;
      if (index < 0 || index >= limit_) return i;
      y[i * nest_.strides[0].back()] = x[i * nest_.strides[2].back() + index * step_];
    }
    return n;
  }

  StepTensor x_, indices_, y_;
  LoopNest nest_;  // of y, indices, x without its axis
  IndexReader reader_;
  int64_t step_ = 0, limit_ = 0;
  int threads_ = 1;
};

}  // namespace

Result<std::unique_ptr<StepKernel>> make_row_gather(const StepShapes& step) {
  return RowGatherKernel::make(step);
}
Result<std::unique_ptr<StepKernel>> make_gather_elements(const StepShapes& step) {
  return GatherElementsKernel::make(step);
}

}  // namespace headrace::cpu
