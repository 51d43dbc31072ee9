// Every op on every back end, against PyTorch. The cases are declared in tests/op_cases.
#include <algorithm>
#include <ostream>
#include <set>

#include <gtest/gtest.h>

#include "ir/graph.h"
#include "kernels/reference/reference_kernels.h"
#include "op_cases.h"
#include "plan_runner.h"
#include "test_backends.h"
#include "weights/memory_reader.h"

namespace headrace::test {
namespace {

const std::vector<OpCase>& cases() {
  static const std::vector<OpCase> all = read_op_cases();
  return all;
}
const std::map<std::string, ExpectedRun>& expected() {
  static const std::map<std::string, ExpectedRun> all = read_expected();
  return all;
}

struct Parameter {
  std::string backend;
  const OpCase* test;
};

void PrintTo(const Parameter& parameter, std::ostream* out) {
  *out << parameter.test->id << " on " << parameter.backend;
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all;
  for (const std::string& backend : test_backend_names())
    for (const OpCase& test : cases())
      if (is_tested_on(backend, test.op)) all.push_back({backend, &test});
  return all;
}

std::string test_name(const testing::TestParamInfo<Parameter>& info) {
  std::string name = info.param.backend + "_" + info.param.test->id;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

bool listed(const std::vector<std::string>& list, const OpCase& test) {
  return std::find(list.begin(), list.end(), test.id) != list.end() ||
         std::find(list.begin(), list.end(), test.op + "/") != list.end();
}

// "" where all results of all bindings agree; "unsupported: …" where the lowering says so.
std::string failure(const OpCase& test, TestBackend& backend) {
  Result<ir::Graph> graph = ir::parse(graph_text(test));
  if (!graph.ok()) return graph.status().message() + "\n" + graph_text(test);
  for (const auto& node : graph->nodes()) {
    if (ir::is_weight_only(*node)) continue;
    const Support support = backend.lowering->supports(*node);
    if (!support.ok()) return "unsupported: " + *support.why_not;
  }
  Result<Plan> plan = backend.lowering->lower(*graph);
  if (!plan.ok()) return plan.status().message();
  std::map<std::string, std::vector<std::byte>> storages;
  for (size_t i = 0; i < test.operands.size(); ++i)
    if (test.operands[i].kind == OpOperand::Kind::kWeight)
      storages["x" + std::to_string(i)] = make_operand(test, i, {}).bytes;
  const auto evaluator = reference::make_evaluator();
  Result<PlanRunner> runner =
      PlanRunner::create(*std::move(plan), *backend.kernels, backend.packer.get(), *evaluator,
                         MemoryReader(std::move(storages)), backend.device);
  if (!runner.ok()) return runner.status().message();
  for (const DimBindings& bindings : test.bindings) {
    const std::string name = run_name(test, bindings);
    const auto want = expected().find(name);
    if (want == expected().end() || want->second.text_hash != fnv(test.text))
      return name + ": the stored results are of another case; run tests/fixtures/make_op_cases.py";
    std::vector<HostTensor> inputs;
    for (size_t i = 0; i < test.operands.size(); ++i)
      if (test.operands[i].kind == OpOperand::Kind::kInput) inputs.push_back(make_operand(test, i, bindings));
    const auto got = runner->run(inputs, 2);
    if (!got.ok()) return name + ": " + got.status().message();
    if (got->size() != want->second.results.size()) return name + ": another number of results";
    for (size_t i = 0; i < got->size(); ++i) {
      const std::string why =
          difference((*got)[i], want->second.results[i], product_terms(test, bindings), backend.inside(test));
      if (!why.empty()) return name + ": result " + std::to_string(i) + ": " + why;
    }
  }
  return "";
}

class OpConformance : public testing::TestWithParam<Parameter> {};

TEST_P(OpConformance, AgreesWithPyTorch) {
  const OpCase& test = *GetParam().test;
  TestBackend backend = make_test_backend(GetParam().backend);
  const std::string why = failure(test, backend);
  if (listed(backend.cannot, test)) {
    EXPECT_TRUE(why.starts_with("unsupported: "))
        << "cannot run " << test.id << ", says the list; but: " << why;
  } else if (listed(backend.not_yet, test)) {
    EXPECT_NE(why, "") << test.id << " passes: take it off the list of what is not done yet";
  } else {
    EXPECT_EQ(why, "");
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, OpConformance, testing::ValuesIn(parameters()), test_name);

TEST(OpCases, EveryOpOfTheTableHasACase) {
  std::set<std::string, std::less<>> seen;
  for (const OpCase& test : cases()) seen.insert(test.op);
  for (const ir::Op op : ir::all_ops()) EXPECT_TRUE(seen.contains(op->name)) << op->name;
}

}  // namespace
}  // namespace headrace::test
