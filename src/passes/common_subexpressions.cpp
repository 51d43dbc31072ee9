// common_subexpressions: nodes of one op with the same inputs and attributes become one; so do literals of
// the same bytes and weights that are tied.
#include <algorithm>
#include <unordered_map>

#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

// Op and inputs; attributes are compared apart.
std::string node_key(const Node& node) {
  std::string key(node.op()->name);
  for (const Value* input : node.inputs()) key += fmt::format(" {}", static_cast<const void*>(input));
  return key;
}

std::string literal_key(const Value& value) {
  std::string key = ir::to_text(value.type()) + " ";
  const std::vector<std::byte>& bytes = value.literal();
  return key.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::string weight_key(const Value& value) {
  const ir::WeightSource& source = value.weight();
  return fmt::format("{} {} {} {}", ir::to_text(value.type()), source.storage, source.offset,
                     to_text(std::span<const int64_t>(source.strides)));
}

template <class Key>
bool merge(Graph& graph, const std::vector<Value*>& values, Key key_of) {
  bool changed = false;
  std::unordered_map<std::string, Value*> first;
  for (Value* value : values) {
    const auto [found, added] = first.emplace(key_of(*value), value);
    if (added) continue;
    graph.replace_uses(value, found->second);
    graph.erase_value(value);
    changed = true;
  }
  return changed;
}

}  // namespace

Result<bool> common_subexpressions(Graph& graph, const PassContext&) {
  bool changed = merge(graph, graph.literals(), literal_key);
  changed |= merge(graph, graph.weights(), weight_key);
  std::unordered_map<std::string, std::vector<Node*>> seen;
  for (Node* node : snapshot(graph)) {
    std::vector<Node*>& alike = seen[node_key(*node)];
    const auto same = std::find_if(alike.begin(), alike.end(), [&](const Node* other) {
      return other->attributes() == node->attributes();
    });
    if (same == alike.end()) {
      alike.push_back(node);
      continue;
    }
    Node* kept = *same;
    for (size_t i = 0; i < node->outputs().size(); ++i) graph.replace_uses(node->output(i), kept->output(i));
    merge_sources(kept, *node);
    graph.erase(node);
    changed = true;
  }
  return changed;
}

}  // namespace headrace::passes
