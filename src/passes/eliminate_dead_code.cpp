// eliminate_dead_code: nodes whose outputs nothing uses, then weights and literals that nothing uses. States
// stay: they outlive a run.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {

Result<bool> eliminate_dead_code(Graph& graph, const PassContext&) {
  const size_t before = graph.nodes().size();
  const std::vector<Node*> nodes = snapshot(graph);
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    bool used = false;
    for (const Value* value : (*node)->outputs()) used |= !value->users().empty() || value->is_graph_output();
    if (!used) graph.erase(*node);  // its producers come later in this walk
  }
  bool changed = graph.nodes().size() != before;
  const auto erase_unused = [&](const std::vector<Value*>& values) {
    for (Value* value : values) {
      if (!value->users().empty() || value->is_graph_output()) continue;
      graph.erase_value(value);
      changed = true;
    }
  };
  erase_unused(graph.weights());
  erase_unused(graph.literals());
  return changed;
}

}  // namespace headrace::passes
