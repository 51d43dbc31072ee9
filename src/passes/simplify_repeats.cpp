// A rule for what repeats itself: concat(x, x, ..) before element-wise ops.
#include <algorithm>

#include "passes/simplify.h"

namespace headrace::passes {
namespace {

bool repeats(const Node* concat) {
  const auto differs = [&](const Value* part) { return part != concat->input(0); };
  return concat && concat->inputs().size() > 1 && !is_constant(concat->output()) &&
         std::none_of(concat->inputs().begin(), concat->inputs().end(), differs);
}

// Whether `node` does the same to each part of `whole`: what else it takes does not change along `axis`.
bool treats_parts_alike(const Node& node, const Value& whole, size_t axis) {
  if (!is_pointwise(node) || node.output()->shape() != whole.shape()) return false;
  return std::all_of(node.inputs().begin(), node.inputs().end(), [&](const Value* input) {
    return input == &whole || is_one(padded(input->shape(), whole.shape().size())[axis]);
  });
}

}  // namespace

// f(concat(x, x)) as concat(f(x), f(x)), where nothing else needs the concat.
Result<bool> simplify_repeats(Graph& graph, Node* node) {
  for (Value* whole : node->inputs()) {
    const Node* concat = producer(whole, "concat");
    if (!repeats(concat) || whole->is_graph_output()) continue;
    const int64_t axis = concat->attributes().integer("axis");
    const bool alike = std::all_of(whole->users().begin(), whole->users().end(), [&](const Node* user) {
      return treats_parts_alike(*user, *whole, static_cast<size_t>(axis));
    });
    if (!alike) continue;
    std::vector<Value*> small = node->inputs();
    std::replace(small.begin(), small.end(), whole, concat->input(0));
    const std::string name = stem(node->output()->name());
    HR_ASSIGN(Node * part, graph.add(node->op(), small, node->attributes(), name, node));
    merge_sources(part, *node);
    const std::vector<Value*> parts(concat->inputs().size(), part->output());
    return replaced(replace_with(graph, node, "concat", parts, axis_attribute(axis)));
  }
  return false;
}

}  // namespace headrace::passes
