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
#include "lowering/placement.h"

namespace headrace::cuda {

namespace {

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
    HR_ASSIGN(written_, place_results(builder_));
    for (const auto& node : graph_.nodes())
      if (!builder_.is_build_time(*node)) HR_TRY(lower(*node));
    HR_ASSIGN(Plan plan, builder_.finish());
    writer_.set_modules(plan);
    return plan;
  }

 private:
  Status lower(const ir::Node& node) {
    if (written_.contains(&node)) return {};
    if (node.op()->pointwise) return write_pointwise(writer_, node);
    if (is_view(node)) return lower_view(builder_, node, copy_);
    if (node.is("concat")) return lower_concat(builder_, node, copy_);
    const auto row =
        std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& row) { return node.is(row.op); });
    if (row == std::end(kRows))
      return unsupported("'{}': the cuda back end has no kernel for {}", node.name(), node.op()->name);
    return row->write(writer_, node);
  }

  const ir::Graph& graph_;
  PlanBuilder builder_;
  StepWriter writer_;
  const CopyStep copy_ = [this](const ir::Node& node, TensorIndex from, TensorIndex to) {
    write_copy(writer_, node, from, to);
  };
  std::set<const ir::Node*> written_;  // transposes whose result is written by the step of their input
};

}  // namespace

Result<Plan> lower_graph(const ir::Graph& graph, Target target, KernelSources& sources) {
  return GraphLowering(graph, target, sources).run();
}

}  // namespace headrace::cuda
