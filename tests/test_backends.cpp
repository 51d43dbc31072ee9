#include "test_backends.h"

#include <cstdio>
#include <cstdlib>

#include "app/backends.h"
#include "core/error.h"
#include "kernels/reference/reference_kernels.h"
#include "lowering/plan_builder.h"
#include "lowering/reference/reference_lowering.h"
#ifdef HEADRACE_TEST_CPU
#include "kernels/cpu/cpu_kernels.h"
#include "lowering/cpu/cpu_lowering.h"
#endif

namespace headrace::test {

namespace {

// The reference back end's kernels, with every value that can be one a view or a window of another: what the
// plan builder offers to lowerings.
class ViewLowering : public Lowering {
 public:
  std::string_view name() const override { return "reference"; }
  Support supports(const ir::Node&) const override { return {}; }
  ir::Preferences preferences() const override { return {}; }
  std::string fingerprint() const override { return "reference 1"; }

  Result<Plan> lower(const ir::Graph& graph) const override {
    PlanBuilder builder(graph, "reference", fingerprint());
    builder.write_outputs_through_reshapes();
    for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node)
      if ((*node)->is("concat") && !builder.is_build_time(**node)) HR_TRY(place_pieces(builder, **node));
    for (const auto& node : graph.nodes()) {
      if (builder.is_build_time(*node)) continue;
      HR_ASSIGN(const bool placed, place(builder, *node));
      if (!placed) HR_TRY(builder.add_step(*node).status());
    }
    return builder.finish();
  }

 private:
  static bool is_view(const ir::Node& node) {
    return node.is("reshape") || node.is("transpose") || node.is("slice") || node.is("expand");
  }

  static Status place_pieces(PlanBuilder& builder, const ir::Node& concat) {
    HR_ASSIGN(const std::vector<TensorIndex> windows, builder.concat_windows(concat));
    for (size_t i = 0; i < windows.size(); ++i) {
      const ir::Value* piece = concat.input(i);
      if (piece->kind() == ir::ValueKind::kResult && !builder.is_build_time(*piece) &&
          !builder.has_tensor(piece) && !piece->is_graph_output() && !is_view(*piece->producer()))
        builder.place(piece, windows[i]);
    }
    return {};
  }

  static Result<bool> place(PlanBuilder& builder, const ir::Node& node) {
    if (is_view(node)) return builder.place_view(node);
    if (!node.is("concat")) return false;
    HR_ASSIGN(const std::vector<TensorIndex> windows, builder.concat_windows(node));
    for (size_t i = 0; i < windows.size(); ++i) {
      HR_ASSIGN(const TensorIndex piece, builder.tensor(node.input(i)));
      const PlanTensor &from = builder.at(piece), &to = builder.at(windows[i]);
      if (from == to) continue;
      builder.add_step("reshape", node, {piece}, {windows[i]});
    }
    return true;
  }
};

// The device and its kernels: made once, since libraries take their time to start.
struct Cuda {
  std::shared_ptr<Device> device;
  std::shared_ptr<Kernels> kernels;
};
const Cuda& cuda_backend() {
  static const Cuda kCuda = [] {
    Result<app::RunBackend> backend =
        app::make_run_backend("cuda", 0, std::make_shared<Tuning>(TuningOptions{}));
    if (!backend.ok()) return Cuda{};
    return Cuda{backend->device, std::shared_ptr<Kernels>(std::move(backend->kernels))};
  }();
  return kCuda;
}

class SharedKernels : public Kernels {
 public:
  explicit SharedKernels(std::shared_ptr<Kernels> kernels) : kernels_(std::move(kernels)) {}
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    return kernels_->load(std::move(plan));
  }

 private:
  std::shared_ptr<Kernels> kernels_;
};

TestBackend make_cuda_backend(const std::string& name) {
  TestBackend made;
  made.name = name;
  made.rounds_f32 = name == "cuda_tf32";
  Result<app::BuildBackend> build = app::make_build_backend(
      {"cuda", 0, ""}, {.allow_tf32 = made.rounds_f32, .as_if_large = name != "cuda"});
  if (!build.ok()) {
    std::fprintf(stderr, "there is a CUDA device, but: %s\n", build.status().message().c_str());
    std::abort();
  }
  made.lowering = std::move(build->lowering);
  made.kernels = std::make_unique<SharedKernels>(cuda_backend().kernels);
  made.device = cuda_backend().device->queued();
  made.rounds_probabilities = true;
  return made;
}

}  // namespace

std::vector<std::string> test_backend_names() {
  std::vector<std::string> names = {"reference", "reference_views"};
#ifdef HEADRACE_TEST_CPU
  names.push_back("cpu");
#endif
  if (cuda_backend().device) names.insert(names.end(), {"cuda", "cuda_large", "cuda_tf32"});
  return names;
}

bool is_tested_on(const std::string& name, std::string_view op) {
  if (name == "cuda_large")
    return op == "conv" || op == "attention" || op == "graph" || op.ends_with("_pool");
  return name != "cuda_tf32" || op == "conv" || op == "matmul";
}

TestBackend make_test_backend(const std::string& name) {
#ifdef HEADRACE_TEST_CPU
  if (name == "cpu")
    return {name, cpu::make_lowering(), cpu::make_kernels(), cpu::make_packer(), nullptr, false, false, {},
            {}};
#endif
  if (name.starts_with("cuda")) return make_cuda_backend(name);
  if (name == "reference_views")
    return {
        name, std::make_unique<ViewLowering>(), reference::make_kernels(), nullptr, nullptr, false, false, {},
        {}};
  return {name, reference::make_lowering(), reference::make_kernels(), nullptr, nullptr, false, false, {},
          {}};
}

}  // namespace headrace::test
