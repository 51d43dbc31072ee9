// Every op case's kernels are written for the cuda back end, and NVRTC compiles them. Needs no GPU.
//
// HEADRACE_TEST_ALL_KERNELS=1 compiles all of them, for every target (minutes); else a share of the programs,
// for one target each.
#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/cuda/fingerprint.h"
#include "lowering/cuda/cuda_lowering.h"
#include "lowering/cuda/graph_lowering.h"
#include "lowering/cuda/nvrtc.h"
#include "op_cases.h"

namespace headrace::cuda {
namespace {

Status lower_case(const test::OpCase& test, const Lowering& lowering, int sm, KernelSources& sources) {
  HR_ASSIGN(const ir::Graph graph, ir::parse(test::graph_text(test)));
  for (const auto& node : graph.nodes()) {
    if (ir::is_weight_only(*node)) continue;
    const Support support = lowering.supports(*node);
    if (!support.ok()) return unsupported("{}", *support.why_not);
  }
  HR_ASSIGN(const Plan plan, lower_graph(graph, {sm}, sources));
  return verify(plan);
}

TEST(CudaKernels, AreWrittenForEveryOpCaseAndCompile) {
  const bool all = std::getenv("HEADRACE_TEST_ALL_KERNELS") != nullptr;
  const std::vector<test::OpCase> cases = test::read_op_cases();
  for (size_t t = 0; t < targets().size(); ++t) {
    const std::string_view target = targets()[t];
    const auto lowering = make_lowering(target);
    ASSERT_TRUE(lowering.ok());
    KernelSources sources;
    for (const test::OpCase& test : cases) {
      const Status status = lower_case(test, **lowering, *parse_target(target), sources);
      EXPECT_TRUE(status.ok()) << target << ": " << test.id << ": " << status.message();
    }
    const std::vector<std::string> programs = sources.programs();
    ASSERT_GT(programs.size(), 20u);
    std::vector<std::string> chosen;
    for (size_t i = 0; i < programs.size(); ++i)
      if (all || i % (4 * targets().size()) == t) chosen.push_back(programs[i]);
    const auto binaries = compile_programs(chosen, target);
    EXPECT_TRUE(binaries.ok()) << target << ": " << binaries.status().message();
  }
}

}  // namespace
}  // namespace headrace::cuda
