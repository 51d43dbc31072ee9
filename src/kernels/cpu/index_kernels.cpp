// gather and index: rows of a tensor in memory, picked by index tensors.
#include "kernels/cpu/index_kernels.h"

#include "kernels/cpu/copy_loops.h"
#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {
namespace {

// x [prefix.., picked.., suffix..] -> y [prefix.., picks.., suffix..].
struct PickForm {
  size_t first = 0;   // the first picked dim of x
  size_t picked = 1;  // how many there are: one index tensor for each
  Sizes picks;        // the index tensors' common shape
};

class PickKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& step, PickForm form);

  Bytes workspace() const override { return {static_cast<int64_t>(sizeof(int64_t)) * picks_}; }

  Status run(const Addresses& at) const override {
    if (y_.elements() == 0) return {};
    auto* offsets = reinterpret_cast<int64_t*>(at.workspace);
    std::fill_n(offsets, picks_, 0);
    for (size_t i = 0; i < readers_.size(); ++i)
      HR_TRY(readers_[i].add_offsets(at, x_.strides[form_.first + i], offsets));
    const int64_t size = dtype_size(x_.dtype);
    parallel_ranges(threads_, prefix_.outer(0) * picks_, [&](int, int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t before = unit / picks_, pick = unit % picks_;
        std::byte* to = y_.at(at) + (prefix_.offset(0, before, 0) + picks_nest_.offset(0, pick, 0)) * size;
        const std::byte* from = x_.at(at) + (prefix_.offset(1, before, 0) + offsets[pick]) * size;
        suffix_.run(to, from);
      }
    });
    return {};
  }

 private:
  PickForm form_;
  StepTensor x_, y_;
  std::vector<IndexReader> readers_;
  LoopNest prefix_;      // of y, x
  LoopNest picks_nest_;  // of y
  CopyLoop suffix_;
  int64_t picks_ = 0;
  int threads_ = 1;
};

Result<std::unique_ptr<StepKernel>> PickKernel::make(const StepShapes& step, PickForm form) {
  const StepTensor &x = *step.inputs[0], &y = step.outputs[0];
  const auto cut = [&](const Sizes& sizes, size_t from, size_t to) {
    return Sizes(sizes.begin() + static_cast<ptrdiff_t>(from), sizes.begin() + static_cast<ptrdiff_t>(to));
  };
  const size_t first = form.first, past = first + form.picked, y_past = first + form.picks.size();
  Sizes due = cut(x.shape, 0, first);
  due.insert(due.end(), form.picks.begin(), form.picks.end());
  due.insert(due.end(), x.shape.begin() + static_cast<ptrdiff_t>(past), x.shape.end());
  if (y.shape != due || y.dtype != x.dtype)
    return malformed(step, "its output is {} of sizes {}; {} of sizes {} is due", dtype_name(y.dtype),
                     sizes_text(y.shape), dtype_name(x.dtype), sizes_text(due));
  auto kernel = std::make_unique<PickKernel>();
  for (size_t i = 0; i < form.picked; ++i) {
    HR_ASSIGN(IndexReader reader,
              IndexReader::make(step, *step.inputs[1 + i], form.picks, x.shape[first + i]));
    kernel->readers_.push_back(std::move(reader));
  }
  const Sizes prefix[] = {cut(y.strides, 0, first), cut(x.strides, 0, first)};
  const Sizes ordered[] = {row_major_strides(form.picks), cut(y.strides, first, y_past)};
  kernel->prefix_ = make_nest(cut(x.shape, 0, first), prefix);
  kernel->picks_nest_ = make_nest(form.picks, ordered);
  kernel->picks_nest_.strides.erase(kernel->picks_nest_.strides.begin());
  const Sizes suffix = cut(x.shape, past, x.shape.size());
  kernel->suffix_ = CopyLoop(dtype_size(x.dtype), suffix, cut(y.strides, y_past, y.strides.size()),
                             cut(x.strides, past, x.strides.size()), 1);
  kernel->picks_ = element_count(form.picks);
  kernel->threads_ = worthwhile_threads(
      step.threads, static_cast<double>(y.elements() * dtype_size(y.dtype)) * 0.1 +
                        static_cast<double>(kernel->picks_ * kernel->prefix_.outer(0)) * 5);
  kernel->x_ = x;
  kernel->y_ = y;
  kernel->form_ = std::move(form);
  return std::unique_ptr<StepKernel>(std::move(kernel));
}

Result<std::unique_ptr<StepKernel>> make_gather(const StepShapes& step) {
  HR_TRY(check_form(step, 2, 2, 1));
  const StepTensor& x = *step.inputs[0];
  const int64_t axis = step.step->attributes.integer("axis");
  HR_TRY(check_axis(step, x, axis));
  if (x.weight >= 0 && step.plan->weights[static_cast<size_t>(x.weight)].use == WeightUse::kRows)
    return make_row_gather(step);
  return PickKernel::make(step,
                          {.first = static_cast<size_t>(axis), .picked = 1, .picks = step.inputs[1]->shape});
}

Result<std::unique_ptr<StepKernel>> make_index(const StepShapes& step) {
  HR_TRY(check_form(step, 2, step.inputs.size(), 1));
  const size_t picked = step.inputs.size() - 1;
  if (picked > step.inputs[0]->shape.size())
    return malformed(step, "{} indices of a tensor of sizes {}", picked, sizes_text(step.inputs[0]->shape));
  Shape picks;
  for (size_t i = 1; i < step.inputs.size(); ++i) {
    if (!step.inputs[i]) return malformed(step, "input {} is absent", i);
    const Result<Shape> wider = broadcast(picks, to_shape(step.inputs[i]->shape));
    if (!wider.ok()) return malformed(step, "{}", wider.status().message());
    picks = *wider;
  }
  PickForm form{.first = 0, .picked = picked};
  for (const Dim& dim : picks) form.picks.push_back(dim.constant());
  return PickKernel::make(step, std::move(form));
}

constexpr KernelRow kRows[] = {
    {"gather", make_gather}, {"gather_elements", make_gather_elements}, {"index", make_index}};

}  // namespace

Result<IndexReader> IndexReader::make(const StepShapes& step, const StepTensor& indices, const Sizes& shape,
                                      int64_t limit) {
  if (indices.dtype != DType::kI64 && indices.dtype != DType::kI32)
    return malformed(step, "its indices are {}", dtype_name(indices.dtype));
  HR_ASSIGN(const Sizes aligned, broadcast_strides(step, indices, shape));
  IndexReader reader;
  const Sizes order[] = {row_major_strides(shape), aligned};
  reader.nest_ = make_nest(shape, order);
  reader.nest_.strides.erase(reader.nest_.strides.begin());
  reader.indices_ = indices;
  reader.limit_ = limit;
  reader.label_ = step.step->label;
  reader.empty_ = element_count(shape) == 0;
  return reader;
}

Status IndexReader::out_of_range(int64_t index) const {
  return invalid_argument("'{}': index {} is out of range for a dimension of size {}", label_, index, limit_);
}

Status IndexReader::add_offsets(const Addresses& at, int64_t stride, int64_t* offsets) const {
  constexpr int64_t kRun = 256;
  const TileLoad load = tile_functions().load[static_cast<size_t>(indices_.dtype)];
  const int64_t size = dtype_size(indices_.dtype), step = nest_.strides[0].back();
  for (int64_t row = 0; !empty_ && row < nest_.outer(); ++row) {
    const std::byte* from = indices_.at(at) + nest_.offset(0, row) * size;
    for (int64_t i = 0; i < nest_.inner(); i += kRun) {
      int64_t run[kRun];
      const int64_t n = std::min(kRun, nest_.inner() - i);
      load(from + i * step * size, step, run, n);
      for (int64_t k = 0; k < n; ++k) {
        const int64_t index = run[k] < 0 ? run[k] + limit_ : run[k];
        if (index < 0 || index >= limit_) return out_of_range(run[k]);
        *offsets++ += index * stride;
      }
    }
  }
  return {};
}

std::span<const KernelRow> index_kernels() { return kRows; }

}  // namespace headrace::cpu
