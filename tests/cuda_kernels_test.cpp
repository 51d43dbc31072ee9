// Every op case's kernels are written for the cuda back end, and NVRTC compiles them. Needs no GPU.
//
// HEADRACE_TEST_ALL_KERNELS=1 compiles all of them, for every target (minutes); else a share of the programs,
// for one target each.
#include <gtest/gtest.h>

#include "core/error.h"
#include "lowering/cuda/cuda_lowering.h"
#include "lowering/cuda/graph_lowering.h"
#include "lowering/cuda/nvrtc.h"
#include "op_cases.h"

namespace headrace::cuda {
namespace {

Status lower_case(const test::OpCase& test, const Lowering& lowering, KernelSources& sources) {
  HR_ASSIGN(const ir::Graph graph, ir::parse(test::graph_text(test)));
  for (const auto& node : graph.nodes()) {
    if (ir::is_weight_only(*node)) continue;
    const Support support = lowering.supports(*node);
    if (!support.ok()) return unsupported("{}", *support.why_not);
  }
  HR_ASSIGN(const Plan plan, lower_graph(graph, {90}, sources));
  return verify(plan);
}

TEST(CudaKernels, AreWrittenForEveryOpCaseAndCompile) {
  const auto lowering = make_lowering("sm_90");
  ASSERT_TRUE(lowering.ok());
  KernelSources sources;
  for (const test::OpCase& test : test::read_op_cases()) {
    const Status status = lower_case(test, **lowering, sources);
    EXPECT_TRUE(status.ok()) << test.id << ": " << status.message();
  }
  const bool all = std::getenv("HEADRACE_TEST_ALL_KERNELS") != nullptr;
  const std::vector<std::string> programs = sources.programs();
  ASSERT_GT(programs.size(), 20u);
  for (size_t t = 0; t < targets().size(); ++t) {
    std::vector<std::string> chosen;
    for (size_t i = 0; i < programs.size(); ++i)
      if (all || i % (4 * targets().size()) == t) chosen.push_back(programs[i]);
    const auto binaries = compile_programs(chosen, targets()[t]);
    EXPECT_TRUE(binaries.ok()) << targets()[t] << ": " << binaries.status().message();
  }
}

}  // namespace
}  // namespace headrace::cuda
