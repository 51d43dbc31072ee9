// canonical_matmul: one form of product for all that follow. A weight is [N, K] (transpose_b), turned where
// it is not by a weight-only transpose; a transpose of b is taken in by transpose_b; a vector of constants
// added to a product or convolution becomes its bias.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

Result<bool> canonical_operand(Graph& graph, Node* node) {
  Value* b = node->input(1);
  const bool transposed = node->attributes().flag("transpose_b");
  if (b->rank() < 2) return false;
  if (is_constant(b)) {
    if (transposed) return false;
    const Builder build{graph, node, b->name()};
    HR_ASSIGN(Value * turned, build("transpose", {b}, perm_attribute(swap_last_two(b->rank()))));
    graph.set_input(node, 1, turned);
    node->attributes().set("transpose_b", true);
    HR_TRY(graph.reinfer(node));
    return true;
  }
  Node* turn = producer(b, "transpose");
  if (!turn || !swaps_last_two(turn->attributes().integers("perm")) || is_constant(turn->input(0)))
    return false;
  graph.set_input(node, 1, turn->input(0));
  node->attributes().set("transpose_b", !transposed);
  HR_TRY(graph.reinfer(node));
  erase_dead(graph, turn);
  return true;
}

// Where the vector of a bias lies in `shape`, which broadcasts to `result`: all dims are 1 but the one at
// `axis`.
bool is_vector_along(const Shape& shape, const Shape& result, int64_t axis) {
  const Shape full = padded(shape, result.size());
  if (full.size() != result.size()) return false;
  for (size_t i = 0; i < full.size(); ++i) {
    const bool here = static_cast<int64_t>(i) == axis;
    if (here ? !(full[i] == result[i]) : !is_one(full[i])) return false;
  }
  return true;
}

int64_t channel_axis(const Node& node) {
  const int64_t rank = node.output()->rank();
  return node.is("matmul") || node.attributes().flag("channels_last") ? rank - 1 : 1;
}

bool takes_bias(const Node* node) {
  return node && !node->input(2) && !node->input(3) && node->attributes().text("epilogue").empty() &&
         only_use(node->output()) && !is_constant(node->output());
}

// add(product, vector): the vector becomes the bias.
Result<bool> absorb_bias(Graph& graph, Node* add) {
  for (const size_t side : {size_t{0}, size_t{1}}) {
    Value *product = add->input(side), *vector = add->input(1 - side);
    Node* node = producer(product, "matmul");
    if (!node) node = producer(product, "conv");
    if (!takes_bias(node) || !is_constant(vector) || vector->dtype() != product->dtype()) continue;
    if (product->shape() != add->output()->shape()) continue;
    const int64_t axis = channel_axis(*node);
    if (!is_vector_along(vector->shape(), product->shape(), axis)) continue;
    const Builder build{graph, add, vector->name()};
    HR_ASSIGN(Value * bias, build.reshape(vector, {product->shape()[static_cast<size_t>(axis)]}));
    return replaced(replace_with(graph, add, node->op()->name, {node->input(0), node->input(1), bias},
                                 node->attributes()));
  }
  return false;
}

}  // namespace

Result<bool> canonical_matmul(Graph& graph, const PassContext&) {
  bool changed = false;
  for (Node* node : snapshot(graph)) {
    if (ir::is_weight_only(*node)) continue;
    bool here = false;
    if (node->is("matmul")) {
      HR_ASSIGN(here, canonical_operand(graph, node));
    } else if (node->is("add")) {
      HR_ASSIGN(here, absorb_bias(graph, node));
    }
    changed |= here;
  }
  return changed;
}

}  // namespace headrace::passes
