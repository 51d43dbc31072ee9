#include "partition/unsupported.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace headrace {

std::vector<UnsupportedNodes> find_unsupported(const ir::Graph& graph, const WhyNot& why_not) {
  std::vector<UnsupportedNodes> ops;
  for (const auto& node : graph.nodes()) {
    if (ir::is_weight_only(*node)) continue;
    const std::optional<std::string> why = why_not(*node);
    if (!why) continue;
    auto known = std::find_if(ops.begin(), ops.end(), [&](const UnsupportedNodes& op) {
      return op.op == node->op()->name && op.why == *why;
    });
    if (known == ops.end()) {
      const ir::SourceNote first =
          node->sources().empty() ? ir::SourceNote{node->name(), ""} : node->sources()[0];
      known = ops.insert(ops.end(), {std::string(node->op()->name), 0, first, *why});
    }
    ++known->nodes;
  }
  return ops;
}

std::string unsupported_report(const std::vector<UnsupportedNodes>& ops, const ir::Graph& graph,
                               std::string_view model, std::string_view backend) {
  std::set<std::string_view> kinds, bad;
  for (const auto& node : graph.nodes()) kinds.insert(node->op()->name);
  size_t width = 0;
  for (const UnsupportedNodes& op : ops) {
    bad.insert(op.op);
    width = std::max(width, op.op.size());
  }
  std::string text = fmt::format("{} of {} ops in {} {} not supported on {}", bad.size(), kinds.size(), model,
                                 bad.size() == 1 ? "is" : "are", backend);
  for (const UnsupportedNodes& op : ops) {
    const std::string place = op.first.location.empty() ? "" : fmt::format(" ({})", op.first.location);
    text += fmt::format("\n  {:<{}}  {:>3} {:<5}  first: {}{}   {}", op.op, width, op.nodes,
                        op.nodes == 1 ? "node" : "nodes", op.first.name, place, op.why);
  }
  return text;
}

}  // namespace headrace
