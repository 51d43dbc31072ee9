// simplify: local rewrites. All keep results to the bit but for these, which are allowed: x + 0 may turn -0
// into +0; pow(x, 0.5) of -inf gives NaN and not inf, as PyTorch's own kernel does; where a NaN would be
// carried, which NaN it is. x * 0 stays, for it is NaN where x is infinite.
#include "passes/simplify.h"

#include "passes/pass_list.h"

namespace headrace::passes {
namespace {

struct Row {
  std::string_view op;
  Result<bool> (*rule)(Graph& graph, Node* node);
};

constexpr Row kRules[] = {
    {"reshape", simplify_reshape},  {"transpose", simplify_transpose}, {"expand", simplify_expand},
    {"slice", simplify_slice},      {"concat", simplify_concat},       {"pad", simplify_pad},
    {"gather", simplify_index},     {"index", simplify_index},         {"cast", simplify_cast},
    {"matmul", simplify_matmul},    {"reshape", hoist_reshape},        {"reshape", unflatten_batches},
    {"transpose", hoist_transpose},
};

Result<bool> simplify_node(Graph& graph, Node* node) {
  for (const Row& row : kRules) {
    if (!node->is(row.op)) continue;
    HR_ASSIGN(const bool changed, row.rule(graph, node));
    if (changed) return true;
  }
  if (!is_pointwise(*node)) return false;
  for (const auto rule : {simplify_math, simplify_ranges, simplify_broadcast, simplify_repeats}) {
    HR_ASSIGN(const bool changed, rule(graph, node));
    if (changed) return true;
  }
  return false;
}

constexpr int kRounds = 16;

}  // namespace

Result<bool> simplify(Graph& graph, const PassContext&) {
  bool changed = false;
  for (int round = 0; round < kRounds; ++round) {
    bool again = false;
    for (Node* node : snapshot(graph)) {
      HR_ASSIGN(const bool node_changed, simplify_node(graph, node));
      again |= node_changed;
    }
    changed |= again;
    if (!again) break;
  }
  return changed;
}

}  // namespace headrace::passes
