// Graphs nested for a mode alone are read as part of the graph around them.
#include <gmock/gmock.h>

#include "core/error.h"
#include "frontend/frontend.h"

namespace headrace::frontend {
namespace {

using testing::ElementsAre;

constexpr std::string_view kTensor =
    R"({"dtype":7,"sizes":[{"as_int":2}],"strides":[{"as_int":1}],"layout":7})";

std::string tensor(std::string_view name) { return fmt::format(R"({{"as_tensor":{{"name":"{}"}}}})", name); }

std::string node(std::string_view target, std::string_view name, std::string_view input) {
  return fmt::format(
      R"({{"target":"{}","inputs":[{{"name":"self","arg":{},"kind":1}}],"outputs":[{}],"name":"{}"}})",
      target, tensor(input), tensor(name), name);
}

// target(False, {a -> t = neg(a), u = abs(t); results}, x), which makes y and z.
std::string wrapped(std::string_view target, std::string_view results) {
  return fmt::format(
      R"([{{"target":"torch.ops.higher_order.{}","name":"wrap","outputs":[{},{}],"inputs":[
        {{"name":"","arg":{{"as_bool":false}},"kind":1}},
        {{"name":"","arg":{{"as_graph":{{"name":"inner","graph":{{"inputs":[{}],"outputs":[{}],
          "nodes":[{},{}],"tensor_values":{{"a":{},"t":{},"u":{}}},"sym_int_values":{{}}}}}}}},"kind":1}},
        {{"name":"","arg":{},"kind":1}}]}}])",
      target, tensor("y"), tensor("z"), tensor("a"), results, node("neg", "t", "a"), node("abs", "u", "t"),
      kTensor, kTensor, kTensor, tensor("x"));
}

// The nodes of a program of input x and tensor t of its own, each as "y = neg(x)".
std::vector<std::string> read(const std::string& nodes) {
  const std::string text = fmt::format(
      R"({{"graph_module":{{"graph":{{"inputs":[{0}],"outputs":[{1}],"nodes":{2},
            "tensor_values":{{"x":{3},"t":{3},"y":{3},"z":{3}}}}},
          "signature":{{"input_specs":[{{"user_input":{{"arg":{0}}}}}],
                        "output_specs":[{{"user_output":{{"arg":{1}}}}}]}}}},
          "schema_version":{{"major":8,"minor":20}}}})",
      tensor("x"), tensor("y"), nodes, kTensor);
  const Result<ExportedProgram> program = parse_program(text, "", "");
  if (!program.ok()) return {program.status().message()};
  std::vector<std::string> lines;
  for (const ProgramNode& node : program->nodes) {
    const auto* result = std::get_if<TensorName>(&node.outputs.front());
    const auto* from = std::get_if<TensorName>(&node.inputs.front().value);
    lines.push_back(
        fmt::format("{} = {}({})", result ? result->name : "?", node.target, from ? from->name : "?"));
  }
  return lines;
}

TEST(NestedGraphs, TakeThePlaceOfTheirNodeWithNamesOfTheirOwn) {
  const std::string results = tensor("u") + "," + tensor("t");
  EXPECT_THAT(read(wrapped("wrap_with_set_grad_enabled", results)), ElementsAre("z = neg(x)", "y = abs(z)"));
}

TEST(NestedGraphs, NamesThatAreTakenOutsideAreChanged) {
  const std::string results = tensor("u") + "," + tensor("a");
  EXPECT_THAT(read(wrapped("wrap_with_set_grad_enabled", results)),
              ElementsAre("wrap.t = neg(x)", "y = abs(wrap.t)", "z = torch.ops.aten.alias.default(x)"));
}

TEST(NestedGraphs, AResultGivenTwiceIsCopied) {
  const std::string results = tensor("u") + "," + tensor("u");
  EXPECT_THAT(read(wrapped("wrap_with_set_grad_enabled", results)),
              ElementsAre("wrap.t = neg(x)", "y = abs(wrap.t)", "z = torch.ops.aten.alias.default(y)"));
}

TEST(NestedGraphs, OtherOnesStay) {
  const std::string results = tensor("u") + "," + tensor("t");
  EXPECT_THAT(read(wrapped("cond", results)), ElementsAre("y = torch.ops.higher_order.cond(?)"));
}

}  // namespace
}  // namespace headrace::frontend
