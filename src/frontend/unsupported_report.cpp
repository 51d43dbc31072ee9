#include "frontend/unsupported_report.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace headrace::frontend {
namespace {

std::string nodes_text(const UnsupportedOp& op) {
  return op.nodes == 1 ? "1 node" : fmt::format("{} nodes", op.nodes);
}

std::string first_text(const UnsupportedOp& op) {
  if (op.first.location.empty()) return "first: " + op.first.name;
  return fmt::format("first: {} ({})", op.first.name, op.first.location);
}

}  // namespace

void UnsupportedReport::add(std::string_view target, const ir::SourceNote& source, std::string why, Fix fix) {
  decompose_ |= fix == Fix::kDecompose;
  const auto same = std::find_if(ops_.begin(), ops_.end(), [&](const UnsupportedOp& op) {
    return op.target == target && op.why == why;
  });
  if (same != ops_.end()) {
    ++same->nodes;
    return;
  }
  ops_.push_back({std::string(target), 1, source, std::move(why)});
}

Status UnsupportedReport::status(size_t distinct) const {
  std::set<std::string_view> targets;
  size_t target_width = 0, nodes_width = 0, first_width = 0;
  for (const UnsupportedOp& op : ops_) {
    targets.insert(op.target);
    target_width = std::max(target_width, op.target.size());
    nodes_width = std::max(nodes_width, nodes_text(op).size());
    first_width = std::max(first_width, first_text(op).size());
  }
  std::string text = fmt::format("{} of {} ops {} not supported", targets.size(), distinct,
                                 targets.size() == 1 ? "is" : "are");
  for (const UnsupportedOp& op : ops_) {
    text += fmt::format("\n  {:<{}}  {:<{}}  {:<{}}  {}", op.target, target_width, nodes_text(op),
                        nodes_width, first_text(op), first_width, op.why);
  }
  if (decompose_) {
    text +=
        "\n  PyTorch can write this model in plain ops, each with a new result; then save it again:\n"
        "    ep = ep.run_decompositions({})\n"
        "    torch.export.save(ep, \"model.pt2\")";
  }
  return Status(Code::kUnsupported, std::move(text));
}

}  // namespace headrace::frontend
