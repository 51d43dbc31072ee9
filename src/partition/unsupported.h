// What a back end cannot do, collected over a whole graph before anything is built.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace headrace {

// Why a back end cannot do a node; nullopt where it can. The back end's own answer, handed in.
using WhyNot = std::function<std::optional<std::string>(const ir::Node&)>;

// All nodes of one op that fail for one reason.
struct UnsupportedNodes {
  std::string op;
  int nodes = 0;
  ir::SourceNote first;
  std::string why;
};

// In the order of first appearance. Nodes of weights alone are evaluated at build time, and are not asked
// about.
std::vector<UnsupportedNodes> find_unsupported(const ir::Graph& graph, const WhyNot& why_not);

// "2 of 31 ops in odd.pt2 are not supported on cpu", and a line for each.
std::string unsupported_report(const std::vector<UnsupportedNodes>& ops, const ir::Graph& graph,
                               std::string_view model, std::string_view backend);

}  // namespace headrace
