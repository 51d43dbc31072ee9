#include "lowering/reference/reference_lowering.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "lowering/plan_builder.h"

namespace headrace::reference {

namespace {

// True where `value` is a weight that gathers of rows alone read: it need not be in memory.
bool is_read_by_rows(const PlanBuilder& builder, const ir::Value& value) {
  if (!builder.is_build_time(value) || value.is_graph_output() || value.rank() < 1) return false;
  return std::all_of(value.users().begin(), value.users().end(), [&](const ir::Node* user) {
    return user->is("gather") && !builder.is_build_time(*user) && user->input(0) == &value &&
           user->input(1) != &value && user->attributes().integer("axis") == 0;
  });
}

Status place_rows(PlanBuilder& builder, const ir::Node& node) {
  const ir::Value* value = node.is("gather") ? node.input(0) : nullptr;
  if (!value || builder.has_tensor(value) || !is_read_by_rows(builder, *value)) return {};
  HR_ASSIGN(Weight weight, builder.draft_weight(*value));
  weight.use = WeightUse::kRows;
  builder.place(value, builder.weight_tensor(builder.add_weight(std::move(weight))));
  return {};
}

class ReferenceLowering : public Lowering {
 public:
  std::string_view name() const override { return "reference"; }
  Support supports(const ir::Node&) const override { return {}; }  // every op of the table
  ir::Preferences preferences() const override { return {}; }
  std::string fingerprint() const override { return "reference 1"; }

  Result<Plan> lower(const ir::Graph& graph) const override {
    PlanBuilder builder(graph, std::string(name()), fingerprint());
    for (const auto& node : graph.nodes()) {
      if (builder.is_build_time(*node)) continue;
      HR_TRY(place_rows(builder, *node));
      HR_TRY(builder.add_step(*node).status());
    }
    return builder.finish();
  }
};

}  // namespace

std::unique_ptr<Lowering> make_lowering() { return std::make_unique<ReferenceLowering>(); }

}  // namespace headrace::reference
