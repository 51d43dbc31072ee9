// join_matmuls: products of one input with several weights (query, key, value; gate, up) become one product
// with the weights joined, and slices of its result. The joined weight and bias are weight-only nodes.
#include <algorithm>
#include <map>

#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

// Whether nothing else uses the weights that `value` is made of: they would be stored twice.
bool used_here_alone(const Value* value) {
  if (value->kind() == ir::ValueKind::kLiteral) return true;
  if (!only_use(value)) return false;
  if (!value->producer()) return true;
  const std::vector<Value*>& inputs = value->producer()->inputs();
  return std::all_of(inputs.begin(), inputs.end(),
                     [](const Value* input) { return !input || used_here_alone(input); });
}

bool joins(const Node& node) {
  if (!node.is("matmul") || ir::is_weight_only(node)) return false;
  const Value *a = node.input(0), *b = node.input(1), *bias = node.input(2);
  const bool plain = !node.input(3) && node.attributes().text("epilogue").empty();
  const bool own = is_constant(b) && b->rank() == 2 && used_here_alone(b);
  return plain && own && node.attributes().flag("transpose_b") && !is_constant(a) && is_static(*b) &&
         (!bias || is_constant(bias));
}

// The biases one behind the other, zeros where a product has none; nullptr where none has.
Result<Value*> joined_bias(const Builder& build, const std::vector<Node*>& group) {
  std::vector<Value*> parts;
  bool any = false;
  for (const Node* node : group) any |= node->input(2) != nullptr;
  if (!any) return nullptr;
  for (const Node* node : group) {
    Value* bias = node->input(2);
    if (!bias) {
      const ir::Type type = {node->output()->dtype(), {node->input(1)->shape()[0]}};
      const std::vector<double> zeros(static_cast<size_t>(type.shape[0].constant()), 0.0);
      bias = build.graph.add_literal("zeros", type, encode(type.dtype, zeros));
    }
    parts.push_back(bias);
  }
  return build("concat", parts, axis_attribute(0));
}

bool fits_literals(const std::vector<Node*>& group) {
  bool any = false, fits = true;
  for (const Node* node : group) {
    any |= node->input(2) != nullptr;
    const int64_t bytes = node->input(1)->shape()[0].constant() * dtype_size(node->output()->dtype());
    fits &= node->input(2) != nullptr || bytes <= kLiteralLimit;
  }
  return fits || !any;
}

Result<bool> join(Graph& graph, const std::vector<Node*>& group) {
  Node* first = group.front();
  std::vector<Value*> weights;
  for (const Node* node : group) {
    hoist(graph, node->input(1), first);
    hoist(graph, node->input(2), first);
    weights.push_back(node->input(1));
  }
  const Builder build{graph, first, fmt::format("{}.joined", first->output()->name())};
  HR_ASSIGN(Value * weight, build("concat", weights, axis_attribute(0)));
  HR_ASSIGN(Value * bias, joined_bias(build, group));
  std::vector<Value*> inputs = {first->input(0), weight};
  if (bias) inputs.push_back(bias);
  HR_ASSIGN(Value * product, build("matmul", inputs, {{"transpose_b", true}}));
  for (const Node* node : group) merge_sources(product->producer(), *node);
  std::vector<Value*> parts;
  Dim begin = 0;
  for (Node* node : group) {
    const Dim end = begin + node->input(1)->shape()[0];
    // Before `first`, so that it stands before every user of every part.
    HR_ASSIGN(Value * part, graph.add("slice", {product}, slice_attributes(product->rank() - 1, begin, end),
                                      node->output()->name(), first));
    graph.replace_uses(node->output(), part);
    parts.push_back(part);
    begin = end;
  }
  for (size_t i = 0; i < group.size(); ++i) {
    std::string name = group[i]->output()->name();
    graph.erase(group[i]);
    graph.rename(parts[i], std::move(name));
  }
  return true;
}

}  // namespace

Result<bool> join_matmuls(Graph& graph, const PassContext& context) {
  if (!context.options.preferences.join_matmuls) return false;
  std::map<std::pair<Value*, DType>, std::vector<Node*>> groups;
  std::vector<std::pair<Value*, DType>> order;  // by first member: a map of pointers has none that repeats
  for (Node* node : snapshot(graph)) {
    if (!joins(*node)) continue;
    const std::pair key{node->input(0), node->input(1)->dtype()};
    if (groups[key].empty()) order.push_back(key);
    groups[key].push_back(node);
  }
  bool changed = false;
  for (const auto& key : order) {
    if (groups[key].size() < 2 || !fits_literals(groups[key])) continue;
    HR_ASSIGN(const bool here, join(graph, groups[key]));
    changed |= here;
  }
  return changed;
}

}  // namespace headrace::passes
