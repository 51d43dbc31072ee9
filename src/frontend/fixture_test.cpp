// The archives in tests/fixtures/pt2, which tests/fixtures/make_pt2.py made with real PyTorch versions.
#include <gmock/gmock.h>

#include <cmath>

#include "core/error.h"
#include "frontend/frontend.h"
#include "frontend/guards.h"

namespace headrace::frontend {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Input = InputSpecEntry::Kind;
using Output = OutputSpecEntry::Kind;

class Fixtures : public testing::TestWithParam<const char*> {
 protected:
  static std::filesystem::path path(std::string_view name) {
    return std::filesystem::path(HEADRACE_SOURCE_DIR) / "tests/fixtures/pt2" / GetParam() /
           fmt::format("{}.pt2", name);
  }
  static std::shared_ptr<const Archive> archive(std::string_view name) {
    return Archive::open(path(name)).value();
  }
  static ExportedProgram program(std::string_view name) { return read_program(*archive(name)).value(); }
};

const ProgramNode& node(const ExportedProgram& program, std::string_view name) {
  static const ProgramNode kNone;
  for (const ProgramNode& node : program.nodes) {
    if (node.name == name) return node;
  }
  ADD_FAILURE() << "no node " << name;
  return kNone;
}

std::vector<std::string> targets(const ExportedProgram& program) {
  std::vector<std::string> targets;
  for (const ProgramNode& node : program.nodes) targets.push_back(node.target);
  return targets;
}

std::vector<std::string> texts(const std::vector<Dim>& dims) {
  std::vector<std::string> texts;
  for (const Dim& dim : dims) texts.push_back(dim.text());
  return texts;
}

TEST_P(Fixtures, AnMlpHasItsNodesWeightsAndSourceLines) {
  const ExportedProgram mlp = program("mlp_raw");
  EXPECT_THAT(mlp.torch_version, HasSubstr(GetParam()));
  EXPECT_EQ(mlp.schema_major, 8);
  EXPECT_FALSE(mlp.decomposed);
  EXPECT_THAT(targets(mlp), ElementsAre("torch.ops.aten.linear.default", "torch.ops.aten.relu.default",
                                        "torch.ops.aten.linear.default"));
  EXPECT_THAT(mlp.nodes[0].location, testing::MatchesRegex("make_pt2\\.py:[0-9]+"));
  EXPECT_THAT(mlp.forward_arg_names, ElementsAre("x"));
  EXPECT_THAT(mlp.in_spec, HasSubstr("builtins.tuple"));
  EXPECT_THAT(mlp.out_spec, HasSubstr("\"type\": null"));
  ASSERT_THAT(mlp.inputs, SizeIs(5));
  EXPECT_EQ(mlp.inputs[0].kind, Input::kParameter);
  EXPECT_EQ(mlp.inputs[0].target, "first.weight");
  EXPECT_EQ(mlp.inputs[4].kind, Input::kUserInput);
  EXPECT_EQ(mlp.inputs[4].argument, Argument(TensorName{"x"}));
  const PayloadEntry& weight = mlp.weights.at("first.weight");
  EXPECT_THAT(texts(weight.meta.sizes), ElementsAre("16", "8"));
  EXPECT_EQ(archive("mlp_raw")->size(weight.storage).value(), Bytes{16 * 8 * 4});
  EXPECT_TRUE(program("mlp").decomposed);
}

TEST_P(Fixtures, ADynamicBatchIsOneSymbolWithItsRangeAndExample) {
  for (const std::string_view name : {"mlp_dynamic_raw", "mlp_dynamic"}) {
    const ExportedProgram mlp = program(name);
    ASSERT_THAT(mlp.symbols, SizeIs(1));
    const Symbol& batch = mlp.symbols[0];
    EXPECT_EQ(batch, (Symbol{batch.name, 1, 2, 200}));
    EXPECT_THAT(texts(mlp.tensors.at("x").sizes), ElementsAre(batch.name, "8"));
  }
}

TEST_P(Fixtures, TiedWeightsShareOneStorage) {
  const ExportedProgram tied = program("tied_weights");
  const PayloadEntry &a = tied.weights.at("embedding.weight"), &b = tied.weights.at("head.weight");
  EXPECT_EQ(a.storage, b.storage);
  EXPECT_EQ(texts(a.meta.sizes), texts(b.meta.sizes));
}

TEST_P(Fixtures, WeightsKeepTheirStridesAndOffsets) {
  const ExportedProgram strided = program("strided_weights");
  EXPECT_THAT(texts(strided.weights.at("conv.weight").meta.strides), ElementsAre("36", "1", "12", "4"));
  const PayloadEntry &view = strided.weights.at("view"), &transposed = strided.weights.at("transposed");
  EXPECT_EQ(view.storage, transposed.storage);
  EXPECT_EQ(view.meta.storage_offset.text(), "8");
  EXPECT_THAT(texts(transposed.meta.strides), ElementsAre("1", "4"));
  float first = 0;
  const auto bytes = std::as_writable_bytes(std::span(&first, 1));
  ASSERT_TRUE(archive("strided_weights")->read(view.storage, Bytes{8 * 4}, bytes).ok());
  EXPECT_EQ(first, 8.0F);
}

TEST_P(Fixtures, BuffersAndConstantsAreToldApart) {
  const ExportedProgram buffers = program("buffers");
  ASSERT_THAT(buffers.inputs, SizeIs(6));
  EXPECT_TRUE(buffers.inputs[1].persistent);
  EXPECT_EQ(buffers.inputs[2].target, "dropped");
  EXPECT_FALSE(buffers.inputs[2].persistent);
  EXPECT_EQ(buffers.inputs[4].kind, Input::kTensorConstant);
  EXPECT_EQ(buffers.weights.at("scale").meta.dtype, DType::kBF16);
  EXPECT_EQ(buffers.weights.at("kept").meta.dtype, DType::kI64);
  EXPECT_EQ(buffers.constants.at("dropped").meta.dtype, DType::kBool);
  EXPECT_EQ(buffers.constants.at("lifted_tensor_0").meta.dtype, DType::kF32);
  EXPECT_EQ(archive("buffers")->size(buffers.weights.at("empty").storage).value(), Bytes{0});
}

TEST_P(Fixtures, NestedInputsAndOutputsComeInTreeOrder) {
  const ExportedProgram nested = program("nested");
  std::vector<std::string> names;
  for (const InputSpecEntry& input : nested.inputs) {
    const auto* tensor = std::get_if<TensorName>(&input.argument);
    names.push_back(tensor ? tensor->name : input.target);
  }
  EXPECT_THAT(names, ElementsAre("batch_a", "batch_b_0", "batch_b_1", "pair_first", "pair_second", "point_x",
                                 "point_y", "scale", "mask"));
  EXPECT_THAT(nested.in_spec, HasSubstr("fixtures.Pair"));
  ASSERT_THAT(nested.outputs, SizeIs(4));
  EXPECT_EQ(nested.outputs[1].argument, Argument(TensorName{"pair_second"})) << "an output may be an input";
  EXPECT_EQ(nested.outputs[2].argument, Argument(NoneArgument{}));
}

TEST_P(Fixtures, NonTensorInputsAreConstants) {
  const ExportedProgram plain = program("non_tensors");
  ASSERT_THAT(plain.inputs, SizeIs(6));
  for (size_t i = 1; i < 6; ++i) EXPECT_EQ(plain.inputs[i].kind, Input::kConstantInput);
  EXPECT_EQ(plain.inputs[1].argument, Argument(1.5));
  EXPECT_EQ(plain.inputs[2].argument, Argument(std::string("sum")));
  EXPECT_EQ(plain.inputs[3].argument, Argument(NoneArgument{}));
  EXPECT_EQ(plain.inputs[4].argument, Argument(int64_t{3}));
  EXPECT_EQ(plain.inputs[5].argument, Argument(true));
  EXPECT_EQ(plain.inputs[5].target, "flag");
  EXPECT_EQ(plain.outputs[4].argument, Argument(2.5));
}

TEST_P(Fixtures, DynamicIntsAreSymbolsInInputsOutputsAndSizes) {
  const ExportedProgram ints = program("dynamic_int");
  ASSERT_THAT(ints.inputs, SizeIs(3));
  EXPECT_EQ(ints.inputs[1].argument, Argument(SymName{"n"}));
  const Dim n = ints.sym_ints.at("n"), x = ints.tensors.at("x").sizes[0],
            blocks = ints.tensors.at("blocks").sizes[0];
  EXPECT_EQ(n.kind(), Dim::Kind::kSymbol);
  EXPECT_EQ(ints.tensors.at("cat").sizes[0], x + n);
  ASSERT_EQ(blocks.kind(), Dim::Kind::kMul);
  EXPECT_EQ(blocks.evaluate(opt_bindings(ints.symbols)).value(), 24);
  const auto* half = std::get_if<SymName>(&ints.outputs[3].argument);
  ASSERT_NE(half, nullptr);
  EXPECT_EQ(ints.sym_ints.at(half->name), Dim::floor_div(x, 2));
  const GuardReport guards = parse_guards(ints);
  EXPECT_THAT(guards.not_understood, IsEmpty());
}

TEST_P(Fixtures, BufferMutationsAreOutputsOnceDecomposed) {
  const ExportedProgram raw = program("key_value_cache_raw"), cache = program("key_value_cache");
  EXPECT_THAT(raw.outputs, SizeIs(2));
  EXPECT_THAT(targets(raw), testing::Contains("torch.ops.aten.index_copy_.default"));
  ASSERT_THAT(cache.outputs, SizeIs(4));
  EXPECT_EQ(cache.outputs[0].kind, Output::kBufferMutation);
  EXPECT_EQ(cache.outputs[0].target, "keys");
  EXPECT_EQ(cache.outputs[1].target, "length");
  EXPECT_EQ(cache.outputs[2].kind, Output::kUserOutput);
  using Tensors = std::vector<std::optional<TensorName>>;
  EXPECT_EQ(node(cache, "index_put").inputs[1].value,
            Argument(Tensors{std::nullopt, std::nullopt, TensorName{"position"}}));
}

TEST_P(Fixtures, InPlaceAndUnsupportedOpsAreReadAsAnyOther) {
  EXPECT_THAT(targets(program("in_place_raw")),
              ElementsAre("torch.ops.aten.add.Tensor", "torch.ops.aten.relu_.default",
                          "torch.ops.aten.add_.Tensor", "torch.ops.aten.mul_.Tensor"));
  const ExportedProgram fft = program("fft");
  EXPECT_EQ(fft.nodes[0].target, "torch.ops.aten.fft_rfft.default");
  EXPECT_EQ(fft.tensors.at("fft_rfft").unsupported_dtype, "c64");
}

TEST_P(Fixtures, SpecialNumbersKeepTheirValues) {
  const ExportedProgram specials = program("specials");
  EXPECT_EQ(node(specials, "clamp").inputs[1].value, Argument(-INFINITY));
  EXPECT_TRUE(std::isnan(std::get<double>(node(specials, "where").inputs[2].value)));
  EXPECT_EQ(node(specials, "slice_1").inputs[3].value, Argument(INT64_MAX));
  EXPECT_EQ(node(specials, "zeros").inputs[1].value, Argument(DType::kF16));
  EXPECT_TRUE(node(specials, "zeros").inputs[1].keyword);
  EXPECT_THAT(node(specials, "max_1").outputs, SizeIs(2));
  EXPECT_THAT(node(specials, "split").outputs, SizeIs(1)) << "a list of tensors is one output";
}

TEST_P(Fixtures, SubGraphsAreNamed) {
  const ProgramNode cond = node(program("control"), "cond");
  const auto* graph = std::get_if<NamedConstant>(&cond.inputs[1].value);
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(graph->kind, NamedConstant::Kind::kGraph);
  EXPECT_EQ(graph->text, "true_graph_0");
}

TEST_P(Fixtures, PickledAndComplexWeightsAreRefusedByName) {
  const Status pickled = read_program(*archive("pickled_weight")).status();
  EXPECT_EQ(pickled.code(), Code::kUnsupported);
  EXPECT_THAT(pickled.message(), HasSubstr("tensor 'weight' is saved as a Python pickle"));
  EXPECT_THAT(pickled.message(), HasSubstr("run_decompositions()"));
  const Status complex = read_program(*archive("complex_weight")).status();
  EXPECT_EQ(complex.code(), Code::kUnsupported);
  EXPECT_THAT(complex.message(), HasSubstr("tensor 'turn' has dtype c64"));
}

INSTANTIATE_TEST_SUITE_P(PyTorch, Fixtures, testing::Values("2.11.0", "2.12.1", "2.13.0", "2.14.1", "2.15.0"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace headrace::frontend
