#include "lowering/cpu/cpu_lowering.h"

#include <set>
#include <utility>

#include "core/error.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/packing.h"
#include "lowering/cpu/cpu_support.h"
#include "lowering/cpu/cpu_weights.h"
#include "lowering/placement.h"
#include "lowering/pointwise_program.h"

namespace headrace::cpu {

namespace {

class GraphLowering {
 public:
  explicit GraphLowering(const ir::Graph& graph)
      : graph_(graph),
        builder_(graph, "cpu", fingerprint()),
        weights_(builder_, opt_bindings(graph.symbols)) {}

  Result<Plan> run() {
    HR_ASSIGN(written_, place_results(builder_));
    for (const auto& node : graph_.nodes())
      if (!builder_.is_build_time(*node)) HR_TRY(lower(*node));
    return builder_.finish();
  }

 private:
  Status lower(const ir::Node& node) {
    if (written_.contains(&node)) return {};
    if (node.op()->pointwise) return lower_pointwise(node);
    if (is_view(node)) return lower_view(builder_, node, copy_);
    if (node.is("concat")) return lower_concat(builder_, node, copy_);
    if (node.is("matmul")) return lower_matmul(node);
    if (node.is("conv")) return lower_conv(node);
    if (node.is("gather")) HR_TRY(weights_.place_rows(node));
    return builder_.add_step(node).status();
  }

  Status lower_pointwise(const ir::Node& node) {
    HR_ASSIGN(const PointwiseProgram program, program_of(node));
    HR_ASSIGN(std::vector<TensorIndex> inputs, builder_.tensors(node.inputs()));
    HR_ASSIGN(const TensorIndex output, builder_.tensor(node.output()));
    builder_.add_step("pointwise", node, std::move(inputs), {output}, {{"program", program.text()}});
    return {};
  }

  Status lower_matmul(const ir::Node& node) {
    if (!weights_.packs_matmul(node)) return builder_.add_step(node).status();
    HR_ASSIGN(const std::vector<WeightPanel> panels, weights_.matmul_panels(node));
    HR_ASSIGN(const TensorIndex a, builder_.tensor(node.input(0)));
    HR_ASSIGN(const TensorIndex bias, builder_.tensor(node.input(2)));
    HR_ASSIGN(const TensorIndex residual, builder_.tensor(node.input(3)));
    HR_ASSIGN(const TensorIndex out, builder_.tensor(node.output()));
    AttributeMap attributes = node.attributes();
    attributes.erase("transpose_b");  // the packed weight says it
    for (const WeightPanel& panel : panels) {
      const auto columns = [&](TensorIndex tensor) {
        if (tensor == kNone || panels.size() == 1) return tensor;
        const auto last = static_cast<int64_t>(builder_.at(tensor).shape.size()) - 1;
        if (last < 0 || builder_.at(tensor).shape.back() == Dim(1)) return tensor;  // broadcast
        return builder_.slice_view(tensor, last, panel.begin, panel.end - panel.begin);
      };
      builder_.add_step("matmul", node, {a, panel.tensor, columns(bias), columns(residual)}, {columns(out)},
                        attributes);
    }
    return {};
  }

  Status lower_conv(const ir::Node& node) {
    if (!weights_.packs_conv(node)) return builder_.add_step(node).status();
    HR_ASSIGN(std::vector<TensorIndex> inputs, [&]() -> Result<std::vector<TensorIndex>> {
      std::vector<TensorIndex> list;
      for (size_t i = 0; i < node.inputs().size(); ++i) {
        HR_ASSIGN(const TensorIndex tensor,
                  i == 1 ? weights_.conv_weight(node) : builder_.tensor(node.input(i)));
        list.push_back(tensor);
      }
      return list;
    }());
    HR_ASSIGN(const TensorIndex out, builder_.tensor(node.output()));
    builder_.add_step("conv", node, std::move(inputs), {out}, node.attributes());
    return {};
  }

  const ir::Graph& graph_;
  PlanBuilder builder_;
  CpuWeights weights_;
  const CopyStep copy_ = [this](const ir::Node& node, TensorIndex from, TensorIndex to) {
    builder_.add_step("copy", node, {from}, {to});
  };
  std::set<const ir::Node*> written_;  // transposes whose result is written by the step of their input
};

class CpuLowering : public Lowering {
 public:
  std::string_view name() const override { return "cpu"; }
  Support supports(const ir::Node& node) const override { return supports_node(node); }
  ir::Preferences preferences() const override {
    ir::Preferences preferences;
    preferences.channels_last = true;
    preferences.fuse_pointwise = true;
    preferences.fuse_attention = true;
    preferences.fuse_norm = true;
    preferences.join_matmuls = true;
    preferences.epilogues = product_epilogues();
    preferences.fuse_residual = true;
    return preferences;
  }
  Result<Plan> lower(const ir::Graph& graph) const override { return GraphLowering(graph).run(); }
  std::string fingerprint() const override { return cpu::fingerprint(); }
};

}  // namespace

std::unique_ptr<Lowering> make_lowering() { return std::make_unique<CpuLowering>(); }

}  // namespace headrace::cpu
