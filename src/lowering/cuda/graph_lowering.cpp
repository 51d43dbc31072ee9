#include "lowering/cuda/graph_lowering.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"
#include "kernels/cuda/fingerprint.h"
#include "lowering/cuda/element_steps.h"
#include "lowering/cuda/library_steps.h"
#include "lowering/cuda/row_steps.h"
#include "lowering/cuda/window_steps.h"

namespace headrace::cuda {

namespace {

bool is_view(const ir::Node& node) {
  return node.is("reshape") || node.is("transpose") || node.is("slice") || node.is("expand");
}

// Steps that write each element once, wherever it lies. Products write dense results only, by a copy if need
// be.
bool writes_anywhere(const ir::Node& node) {
  return !is_view(node) && !node.is("concat") && !node.is("matmul") && !node.is("conv");
}

struct Row {
  std::string_view op;
  Status (*write)(StepWriter&, const ir::Node&);
};
constexpr Row kRows[] = {
    {"pointwise", write_pointwise},
    {"batch_norm", write_batch_norm},
    {"rotary", write_rotary},
    {"fill", write_fill},
    {"dim_value", write_fill},
    {"iota", write_fill},
    {"gather", write_gather},
    {"gather_elements", write_gather_elements},
    {"index", write_index},
    {"softmax", write_softmax},
    {"layer_norm", write_norm},
    {"rms_norm", write_norm},
    {"group_norm", write_norm},
    {"reduce", write_reduce},
    {"arg_reduce", write_arg_reduce},
    {"cumsum", write_cumsum},
    {"pad", write_pad},
    {"max_pool", write_pool},
    {"avg_pool", write_pool},
    {"adaptive_avg_pool", write_pool},
    {"matmul", lower_matmul},
    {"conv", lower_conv},
    {"attention", lower_attention},
};

class GraphLowering {
 public:
  GraphLowering(const ir::Graph& graph, Target target, KernelSources& sources)
      : graph_(graph), builder_(graph, "cuda", fingerprint(target.sm)), writer_(builder_, sources, target) {}

  Result<Plan> run() {
    builder_.write_outputs_through_reshapes();
    // From the last to the first, so that windows of windows come out.
    for (auto node = graph_.nodes().rbegin(); node != graph_.nodes().rend(); ++node) {
      if (builder_.is_build_time(**node)) continue;
      if ((*node)->is("concat")) HR_TRY(place_pieces(**node));
      if ((*node)->is("transpose")) HR_TRY(place_transposed(**node));
    }
    for (const auto& node : graph_.nodes())
      if (!builder_.is_build_time(*node)) HR_TRY(lower(*node));
    HR_ASSIGN(Plan plan, builder_.finish());
    writer_.set_modules(plan);
    return plan;
  }

 private:
  // Whether the step that makes `value` can be told to write it elsewhere.
  bool is_placeable(const ir::Value& value) const {
    return value.kind() == ir::ValueKind::kResult && !builder_.is_build_time(value) &&
           !builder_.has_tensor(&value) && !value.is_graph_output() && !is_view(*value.producer());
  }

  Status place_pieces(const ir::Node& concat) {
    HR_ASSIGN(const std::vector<TensorIndex> windows, builder_.concat_windows(concat));
    for (size_t i = 0; i < windows.size(); ++i)
      if (is_placeable(*concat.input(i))) builder_.place(concat.input(i), windows[i]);
    return {};
  }

  // A transpose whose input's step can write it as the transpose wants it, where somebody wants that dense.
  Status place_transposed(const ir::Node& node) {
    const ir::Value &from = *node.input(0), &to = *node.output();
    if (!is_placeable(from) || from.users().size() != 1 || !writes_anywhere(*from.producer())) return {};
    const bool wanted = builder_.has_tensor(&to) || to.is_graph_output() ||
                        std::any_of(to.users().begin(), to.users().end(), [](const ir::Node* user) {
                          return user->is("reshape") || user->is("matmul") || user->is("conv");
                        });
    if (!wanted) return {};
    HR_ASSIGN(const TensorIndex whole, builder_.tensor(&to));
    const std::vector<int64_t> perm = node.attributes().integers("perm");
    std::vector<int64_t> inverse(perm.size());
    for (size_t i = 0; i < perm.size(); ++i) inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
    builder_.place(&from, builder_.transpose_view(whole, inverse));
    written_.insert(&node);
    return {};
  }

  Status lower(const ir::Node& node) {
    if (written_.contains(&node)) return {};
    if (node.op()->pointwise) return write_pointwise(writer_, node);
    if (is_view(node)) return lower_view(node);
    if (node.is("concat")) return lower_concat(node);
    const auto row =
        std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& row) { return node.is(row.op); });
    if (row == std::end(kRows))
      return unsupported("'{}': the cuda back end has no kernel for {}", node.name(), node.op()->name);
    return row->write(writer_, node);
  }

  Status lower_view(const ir::Node& node) {
    if (!builder_.has_tensor(node.output())) {
      HR_ASSIGN(const bool placed, builder_.place_view(node));
      if (placed) return {};
    }
    // A reshape that no strides describe: its input is copied to where the result lies, in row-major order.
    HR_ASSIGN(const TensorIndex from, builder_.tensor(node.input(0)));
    HR_ASSIGN(const TensorIndex to, builder_.tensor(node.output()));
    const std::optional<TensorIndex> target = builder_.reshape_view(to, node.input(0)->shape());
    if (!target) return internal_error("'{}': the result of a reshape is not row-major", node.name());
    write_copy(writer_, node, from, *target);
    return {};
  }

  Status lower_concat(const ir::Node& node) {
    HR_ASSIGN(const std::vector<TensorIndex> windows, builder_.concat_windows(node));
    for (size_t i = 0; i < windows.size(); ++i) {
      HR_ASSIGN(const TensorIndex piece, builder_.tensor(node.input(i)));
      if (!(builder_.at(piece) == builder_.at(windows[i]))) write_copy(writer_, node, piece, windows[i]);
    }
    return {};
  }

  const ir::Graph& graph_;
  PlanBuilder builder_;
  StepWriter writer_;
  std::set<const ir::Node*> written_;  // transposes whose result is written by the step of their input
};

}  // namespace

Result<Plan> lower_graph(const ir::Graph& graph, Target target, KernelSources& sources) {
  return GraphLowering(graph, target, sources).run();
}

}  // namespace headrace::cuda
