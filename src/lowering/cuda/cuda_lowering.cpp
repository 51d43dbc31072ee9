#include "lowering/cuda/cuda_lowering.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "kernels/cuda/fingerprint.h"
#include "kernels/cuda/generated_step.h"
#include "lowering/cuda/cuda_support.h"
#include "lowering/cuda/graph_lowering.h"
#include "lowering/cuda/nvrtc.h"

namespace headrace::cuda {

namespace {

constexpr std::array<std::string_view, 4> kTargets = {"sm_80", "sm_86", "sm_89", "sm_90"};

class CudaLowering : public Lowering {
 public:
  CudaLowering(int sm, const LoweringOptions& options) : sm_(sm), options_(options) {}

  std::string_view name() const override { return "cuda"; }
  Support supports(const ir::Node& node) const override { return supports_node(node); }
  ir::Preferences preferences() const override {
    ir::Preferences preferences;
    preferences.channels_last = true;
    if (!options_.allow_tf32) preferences.planes = {DType::kF32};
    preferences.fuse_pointwise = true;
    preferences.fuse_attention = true;
    preferences.fuse_norm = true;
    preferences.join_matmuls = true;
    preferences.epilogues = {"relu", "gelu_tanh", "gelu"};
    preferences.fuse_residual = true;
    return preferences;
  }
  std::string fingerprint() const override { return cuda::fingerprint(sm_); }

  Result<Plan> lower(const ir::Graph& graph) const override {
    KernelSources sources;
    Target target = {.sm = sm_, .tf32 = options_.allow_tf32};
    if (options_.as_if_large) target.fold_from = target.tile_from = target.boxes_from = 0;
    HR_ASSIGN(Plan plan, lower_graph(graph, target, sources));
    if (options_.allow_tf32) allow_tf32(plan);
    if (sources.empty()) return plan;
    HR_ASSIGN(const auto binaries, compile_programs(sources.programs(), fmt::format("sm_{}", sm_)));
    plan.code = pack_code(binaries);
    return plan;
  }

 private:
  // For the libraries' steps; those of other dtypes take no notice.
  static void allow_tf32(Plan& plan) {
    for (Step& step : plan.steps) {
      if (step.kernel == "matmul" || step.kernel == "conv") step.attributes.set("allow_tf32", true);
    }
  }

  int sm_;
  LoweringOptions options_;
};

}  // namespace

std::span<const std::string_view> targets() { return kTargets; }

Result<std::unique_ptr<Lowering>> make_lowering(std::string_view target, const LoweringOptions& options) {
  if (std::find(kTargets.begin(), kTargets.end(), target) == kTargets.end())
    return invalid_argument("there is no CUDA target '{}'; there are {}", target, fmt::join(kTargets, ", "));
  return std::unique_ptr<Lowering>(std::make_unique<CudaLowering>(*parse_target(target), options));
}

}  // namespace headrace::cuda
