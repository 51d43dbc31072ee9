// Rules for gather and index whose indices are ranges 0, 1, 2, … known when compiling, as mask code makes
// them: such a pick moves nothing.
#include "passes/simplify.h"

namespace headrace::passes {
namespace {

// gather(x, start + (0 … count-1)) is a slice.
Result<bool> gather_range(Graph& graph, Node* node) {
  Value *x = node->input(0), *indices = node->input(1);
  const auto range = ramp(indices);
  if (!range || indices->rank() != 1 || !range->start.is_constant() || range->start.constant() < 0)
    return false;
  const int64_t axis = node->attributes().integer("axis");
  const Dim stop = range->start + range->count;
  const Dim spare = x->shape()[static_cast<size_t>(axis)] - stop;
  if (!spare.is_constant() || spare.constant() < 0) return false;  // an index past the end is the run's error
  return replaced(replace_with(graph, node, "slice", {x}, slice_attributes(axis, range->start, stop)));
}

// index(x, r0, r1, …), each a whole range of x's dim along an axis of its own, the axes in x's order: the
// dims are spread out, and repeated where the indices repeat.
Result<bool> index_ranges(Graph& graph, Node* node) {
  Value* x = node->input(0);
  const size_t picked = node->inputs().size() - 1;
  const Shape& result = node->output()->shape();
  const size_t tail = static_cast<size_t>(x->rank()) - picked;
  const size_t broadcast = result.size() - tail;  // dims that the indices make
  Shape spread(broadcast, Dim(1));
  int64_t last = -1;
  for (size_t i = 0; i < picked; ++i) {
    const Value* indices = node->input(i + 1);
    const Dim& size = x->shape()[i];
    if (is_one(size) && is_uniform(indices, 0)) continue;
    const auto range = ramp(indices);
    if (!range || !(range->start == Dim(0)) || !(range->count == size)) return false;
    const int64_t axis = static_cast<int64_t>(broadcast) - 1 - range->from_end;
    if (axis <= last) return false;
    spread[static_cast<size_t>(axis)] = size;
    last = axis;
  }
  spread.insert(spread.end(), x->shape().begin() + static_cast<ptrdiff_t>(picked), x->shape().end());
  const Builder build{graph, node, node->output()->name()};
  HR_ASSIGN(Value * moved, build.reshape(x, spread));
  return replaced(replace_with(graph, node, "expand", {moved}, shape_attribute(result)));
}

}  // namespace

Result<bool> simplify_index(Graph& graph, Node* node) {
  return node->is("gather") ? gather_range(graph, node) : index_ranges(graph, node);
}

}  // namespace headrace::passes
