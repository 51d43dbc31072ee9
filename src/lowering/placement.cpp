#include "lowering/placement.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/error.h"

namespace headrace {
namespace {

// Steps that write each element once, wherever it lies. Products write dense results only, by a copy if need
// be.
bool writes_anywhere(const ir::Node& node) {
  return !is_view(node) && !node.is("concat") && !node.is("matmul") && !node.is("conv");
}

// Whether the step that makes `value` can be told to write it elsewhere.
bool is_placeable(const PlanBuilder& builder, const ir::Value& value) {
  return value.kind() == ir::ValueKind::kResult && !builder.is_build_time(value) &&
         !builder.has_tensor(&value) && !value.is_graph_output() && !is_view(*value.producer());
}

Status place_pieces(PlanBuilder& builder, const ir::Node& concat) {
  HR_ASSIGN(const std::vector<TensorIndex> windows, builder.concat_windows(concat));
  for (size_t i = 0; i < windows.size(); ++i)
    if (is_placeable(builder, *concat.input(i))) builder.place(concat.input(i), windows[i]);
  return {};
}

// Whether it was placed.
Result<bool> place_transposed(PlanBuilder& builder, const ir::Node& node) {
  const ir::Value &from = *node.input(0), &to = *node.output();
  if (!is_placeable(builder, from) || from.users().size() != 1 || !writes_anywhere(*from.producer()))
    return false;
  const bool wanted = builder.has_tensor(&to) || to.is_graph_output() ||
                      std::any_of(to.users().begin(), to.users().end(), [](const ir::Node* user) {
                        return user->is("reshape") || user->is("matmul") || user->is("conv");
                      });
  if (!wanted) return false;
  HR_ASSIGN(const TensorIndex whole, builder.tensor(&to));
  const std::vector<int64_t> perm = node.attributes().integers("perm");
  std::vector<int64_t> inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  builder.place(&from, builder.transpose_view(whole, inverse));
  return true;
}

}  // namespace

bool is_view(const ir::Node& node) {
  return node.is("reshape") || node.is("transpose") || node.is("slice") || node.is("expand");
}

Result<std::set<const ir::Node*>> place_results(PlanBuilder& builder) {
  builder.write_outputs_through_reshapes();
  std::set<const ir::Node*> written;
  const auto& nodes = builder.graph().nodes();
  // From the last to the first, so that windows of windows come out.
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (builder.is_build_time(**node)) continue;
    if ((*node)->is("concat")) HR_TRY(place_pieces(builder, **node));
    if (!(*node)->is("transpose")) continue;
    HR_ASSIGN(const bool placed, place_transposed(builder, **node));
    if (placed) written.insert(node->get());
  }
  return written;
}

Status lower_view(PlanBuilder& builder, const ir::Node& node, const CopyStep& copy) {
  if (!builder.has_tensor(node.output())) {
    HR_ASSIGN(const bool placed, builder.place_view(node));
    if (placed) return {};
  }
  // A reshape that no strides describe: its input is copied to where the result lies, in row-major order.
  HR_ASSIGN(const TensorIndex from, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  const std::optional<TensorIndex> target = builder.reshape_view(to, node.input(0)->shape());
  if (!target) return internal_error("'{}': the result of a reshape is not row-major", node.name());
  copy(node, from, *target);
  return {};
}

Status lower_concat(PlanBuilder& builder, const ir::Node& concat, const CopyStep& copy) {
  HR_ASSIGN(const std::vector<TensorIndex> windows, builder.concat_windows(concat));
  for (size_t i = 0; i < windows.size(); ++i) {
    HR_ASSIGN(const TensorIndex piece, builder.tensor(concat.input(i)));
    if (!(builder.at(piece) == builder.at(windows[i]))) copy(concat, piece, windows[i]);
  }
  return {};
}

}  // namespace headrace
