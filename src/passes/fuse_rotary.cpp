// fuse_rotary: x * cos + rotate_half(x) * sin becomes rotary, where rotate_half(x) = concat(-x2, x1) of the
// two halves of the last dim.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

// The x of which this is the slice [start, stop) of the last dim.
Value* slice_of_last(const Value* value, int64_t start, int64_t stop) {
  const Node* slice = producer(value, "slice");
  if (!slice) return nullptr;
  const AttributeMap& at = slice->attributes();
  const bool fits = at.integer("axis") == value->rank() - 1 && at.integer("step", 1) == 1 &&
                    at.get<Dim>("start", Dim(0)) == Dim(start) && at.get<Dim>("stop", Dim(0)) == Dim(stop);
  return fits ? slice->input(0) : nullptr;
}

// The x of which this is rotate_half(x).
Value* rotated(const Value* value) {
  const Node* concat = producer(value, "concat");
  if (!concat || concat->inputs().size() != 2 || concat->attributes().integer("axis") != value->rank() - 1)
    return nullptr;
  const Dim& size = value->shape().back();
  if (!size.is_constant() || size.constant() % 2 != 0) return nullptr;
  const int64_t half = size.constant() / 2;
  const Node* neg = producer(concat->input(0), "neg");
  Value* x = neg ? slice_of_last(neg->input(0), half, 2 * half) : nullptr;
  const bool same = x && x == slice_of_last(concat->input(1), 0, half) && x->shape() == value->shape();
  return same ? x : nullptr;
}

struct Rotary {
  Value *x, *cos, *sin;
};

std::optional<Rotary> match(const Node& straight, const Node& turned) {
  for (const size_t side : {size_t{0}, size_t{1}}) {
    Value *x = rotated(turned.input(side)), *sin = turned.input(1 - side);
    if (!x) continue;
    const auto operands = either_order(straight, [&](const Value* value) { return value == x; });
    if (!operands) continue;
    Value* cos = operands->second;
    if (broadcasts_to(cos->shape(), x->shape()) && broadcasts_to(sin->shape(), x->shape()))
      return Rotary{x, cos, sin};
  }
  return std::nullopt;
}

}  // namespace

Result<bool> fuse_rotary(Graph& graph, const PassContext& context) {
  if (!context.options.preferences.fuse_norm) return false;
  bool changed = false;
  for (Node* node : snapshot(graph)) {
    if (!node->is("add")) continue;
    for (const size_t side : {size_t{0}, size_t{1}}) {
      const Node *straight = producer(node->input(side), "mul"),
                 *turned = producer(node->input(1 - side), "mul");
      const auto found = straight && turned ? match(*straight, *turned) : std::nullopt;
      if (!found) continue;
      HR_TRY(replace_with(graph, node, "rotary", {found->x, found->cos, found->sin}).status());
      changed = true;
      break;
    }
  }
  return changed;
}

}  // namespace headrace::passes
