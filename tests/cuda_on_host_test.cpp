// The cuda back end's generated kernels against PyTorch, without a GPU: every op case's, compiled for the
// host. What the libraries would take is generated too.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "core/error.h"
#include "cuda_on_host/host_kernels.h"
#include "kernels/reference/reference_kernels.h"
#include "lowering/cuda/graph_lowering.h"
#include "op_cases.h"
#include "plan_runner.h"
#include "weights/memory_reader.h"

namespace headrace::test {
namespace {

bool is_product(std::string_view op) {
  return op == "matmul" || op == "conv" || op == "attention" || op == "graph";
}

// With the libraries, what they may take, and pools: without, their threads make tiles. Most pointwise cases
// are one expression, of which some are enough by default: HEADRACE_TEST_ALL_KERNELS=1 runs all of them.
std::vector<OpCase> chosen_cases(bool libraries) {
  const bool all = std::getenv("HEADRACE_TEST_ALL_KERNELS") != nullptr;
  std::vector<OpCase> chosen;
  size_t next = 0;
  for (OpCase& test : read_op_cases())
    if (libraries ? is_product(test.op) || test.op.ends_with("_pool")
                  : all || !find_pointwise(test.op) || next++ % 16 == 0)
      chosen.push_back(std::move(test));
  return chosen;
}

struct Case {
  OpCase test;
  Plan plan;
};

// Errors: where a result of a binding is another.
Status run_case(Case&& test, HostKernels& kernels, const std::map<std::string, ExpectedRun>& expected) {
  std::map<std::string, std::vector<std::byte>> storages;
  for (size_t i = 0; i < test.test.operands.size(); ++i)
    if (test.test.operands[i].kind == OpOperand::Kind::kWeight)
      storages["x" + std::to_string(i)] = make_operand(test.test, i, {}).bytes;
  const auto evaluator = reference::make_evaluator();
  HR_ASSIGN(PlanRunner runner, PlanRunner::create(std::move(test.plan), kernels, nullptr, *evaluator,
                                                  MemoryReader(std::move(storages))));
  for (const DimBindings& bindings : test.test.bindings) {
    const std::string name = run_name(test.test, bindings);
    const auto want = expected.find(name);
    if (want == expected.end()) return not_found("no results are stored for {}", name);
    std::vector<HostTensor> inputs;
    for (size_t i = 0; i < test.test.operands.size(); ++i)
      if (test.test.operands[i].kind == OpOperand::Kind::kInput)
        inputs.push_back(make_operand(test.test, i, bindings));
    HR_ASSIGN(const std::vector<HostTensor> got, runner.run(inputs));
    for (size_t i = 0; i < got.size(); ++i) {
      const std::string why = difference(got[i], want->second.results[i], product_terms(test.test, bindings),
                                         attends(test.test) ? Inside::kRounded : Inside::kExact);
      if (!why.empty()) return internal_error("{}: result {}: {}", name, i, why);
    }
  }
  return {};
}

class CudaOnTheHost : public testing::TestWithParam<bool> {};

TEST_P(CudaOnTheHost, AgreesWithPyTorch) {
  cuda::KernelSources sources;
  std::vector<Case> cases;
  for (OpCase& test : chosen_cases(GetParam())) {
    const Result<ir::Graph> graph = ir::parse(graph_text(test));
    ASSERT_TRUE(graph.ok()) << test.id << ": " << graph.status().message();
    Result<Plan> plan = cuda::lower_graph(*graph,
                                          {.sm = 90,
                                           .libraries = GetParam(),
                                           .tf32 = GetParam(),
                                           .fold_from = 0,
                                           .tile_from = GetParam() ? 65536 : 0,
                                           .boxes_from = GetParam() ? 64 : 0},
                                          sources);
    ASSERT_TRUE(plan.ok()) << test.id << ": " << plan.status().message();
    cases.push_back({std::move(test), *std::move(plan)});
  }
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / fmt::format("cuda_on_host_{}_{}", getpid(), GetParam());
  std::filesystem::create_directories(folder);
  const auto functions = compile_for_host(sources, folder);
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(functions.ok()) << functions.status().message();
  HostKernels kernels(*functions);
  const std::map<std::string, ExpectedRun> expected = read_expected();
  for (Case& test : cases) {
    const std::string id = test.test.id;
    const Status status = run_case(std::move(test), kernels, expected);
    EXPECT_TRUE(status.ok()) << id << ": " << status.message();
  }
}

INSTANTIATE_TEST_SUITE_P(Libraries, CudaOnTheHost, testing::Bool(),
                         [](const auto& info) { return info.param ? "present" : "absent"; });

}  // namespace
}  // namespace headrace::test
