// Small programs through the lowering table: the graph that comes out, as text, or the error.
#include <gmock/gmock.h>

#include <cstring>

#include "core/error.h"
#include "frontend/frontend.h"

namespace headrace::frontend {
namespace {

using testing::HasSubstr;
using testing::Not;
using Input = InputSpecEntry::Kind;

// A program of user inputs and nodes, written line by line.
class Program {
 public:
  Program& input(const std::string& name, DType dtype, std::vector<Dim> sizes) {
    tensor(name, dtype, std::move(sizes));
    program_.inputs.push_back({Input::kUserInput, TensorName{name}});
    return *this;
  }
  Program& constant(Input kind, const std::string& name, DType dtype, std::vector<Dim> sizes) {
    tensor(name, dtype, std::move(sizes));
    InputSpecEntry entry{kind, TensorName{name}};
    entry.target = "the." + name;
    program_.inputs.push_back(entry);
    program_.weights[entry.target] = {"data/weights/" + name, false, program_.tensors[name]};
    return *this;
  }
  // An aten op: its target without "torch.ops.", what it makes, and its arguments.
  Program& node(const std::string& target, const std::string& result, DType dtype, std::vector<Dim> sizes,
                std::vector<NamedArgument> arguments) {
    tensor(result, dtype, std::move(sizes));
    program_.nodes.push_back(
        {"torch.ops." + target, std::move(arguments), {TensorName{result}}, result, "model.py:7"});
    last_ = result;
    return *this;
  }
  Program& output(const std::string& name) {
    program_.outputs.push_back({OutputSpecEntry::Kind::kUserOutput, TensorName{name}});
    return *this;
  }
  ExportedProgram& get() { return program_; }

  Result<ir::Graph> lower() {
    if (program_.outputs.empty()) output(last_);
    return lower_program(program_, [](const std::string&, Bytes offset, std::span<std::byte> out) {
      for (size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<std::byte>(static_cast<size_t>(offset.count) + i);
      return Status();
    });
  }
  // The nodes of the graph, one a line.
  std::string nodes() {
    const Result<ir::Graph> graph = lower();
    if (!graph.ok()) return graph.status().message();
    EXPECT_TRUE(ir::verify(*graph).ok()) << ir::verify(*graph).message();
    std::string text = ir::print(*graph), kept;
    for (size_t start = 0; start < text.size();) {
      const size_t end = std::min(text.find('\n', start), text.size());
      const std::string line = text.substr(start, end - start);
      if (line.find(" = ") != std::string::npos && line.find("graph(") == std::string::npos) {
        kept += line.substr(2) + "\n";
      }
      start = end + 1;
    }
    return kept;
  }
  std::string error() {
    const Result<ir::Graph> graph = lower();
    EXPECT_FALSE(graph.ok());
    if (graph.ok()) return "";
    EXPECT_EQ(graph.status().code(), Code::kUnsupported);
    return graph.status().message();
  }

 private:
  void tensor(const std::string& name, DType dtype, std::vector<Dim> sizes) {
    TensorMeta meta;
    meta.dtype = dtype;
    meta.strides = row_major_strides(std::span<const Dim>(sizes));
    meta.sizes = std::move(sizes);
    program_.tensors[name] = meta;
  }
  ExportedProgram program_;
  std::string last_;
};

NamedArgument arg(const std::string& name, Argument value) { return {name, std::move(value)}; }
NamedArgument of(const std::string& name, const std::string& tensor) { return {name, TensorName{tensor}}; }
NamedArgument ints(const std::string& name, std::vector<int64_t> values) {
  return {name, std::vector<IntOrSym>(values.begin(), values.end())};
}

constexpr DType kBool = DType::kBool, kI64 = DType::kI64, kF32 = DType::kF32, kBF16 = DType::kBF16,
                kF16 = DType::kF16;
const Dim s0 = Dim::symbol("s0");

struct PromotionCase {
  DType a;
  std::vector<Dim> a_sizes;
  Argument b;  // a number, or a tensor of the next two
  DType b_dtype;
  std::vector<Dim> b_sizes;
  std::string target;
  DType result;
  std::string want;
};

TEST(LowerProgram, WritesPromotionAsCasts) {
  const PromotionCase cases[] = {
      {kF32, {3}, 2.5, {}, {}, "mul.Tensor", kF32, "%n: f32[3] = mul(%a, %number)\n"},
      {kI64, {3}, int64_t{2}, {}, {}, "mul.Tensor", kI64, "%n: i64[3] = mul(%a, %number)\n"},
      {kI64, {3}, 2.5, {}, {}, "mul.Tensor", kF32, "%n.1: f32[3] = mul(%n, %number) \"n\"\n"},
      {kI64, {3}, TensorName{"b"}, kF32, {}, "mul.Tensor", kF32, "%n.1: f32[3] = mul(%n, %b) \"n\"\n"},
      {kBF16, {3}, TensorName{"b"}, kF32, {}, "add.Tensor", kBF16, "%n: bf16[] = cast(%b)"},
      // What is on the right of a product or quotient of 16-bit floats is not rounded to them.
      {kBF16, {3}, TensorName{"b"}, kF32, {}, "mul.Tensor", kBF16, "%n.1: f32[3] = mul(%n, %b)"},
      {kBF16, {3}, 1.1, {}, {}, "mul.Tensor", kBF16, "%n.1: f32[3] = mul(%n, %number)"},
      {kF16, {3}, 1.1, {}, {}, "div.Tensor", kF16, "%n.1: f32[3] = div(%n, %number)"},
      {kBF16, {3}, 0.5, {}, {}, "mul.Tensor", kBF16, "%n: bf16[3] = mul(%a, %number)"},
      {kBF16, {3}, int64_t{257}, {}, {}, "mul.Tensor", kBF16, "%n.1: f32[3] = mul(%n, %number)"},
      {kBF16, {3}, 1.1, {}, {}, "add.Tensor", kBF16, "%n: bf16[3] = add(%a, %number)"},
      {kBF16, {3}, TensorName{"b"}, kF32, {3}, "mul.Tensor", kF32, "%n: f32[3] = cast(%a)"},
      {kI64, {3}, int64_t{2}, {}, {}, "div.Tensor", kF32, "%n.1: f32[3] = div(%n, %number) \"n\"\n"},
      {kI64, {3}, 0.5, {}, {}, "gt.Scalar", kBool, "%n.1: bool[3] = gt(%n, %number) \"n\"\n"},
      {kBool, {3}, TensorName{"b"}, kBool, {3}, "add.Tensor", kBool, "%n: bool[3] = logical_or(%a, %b)\n"},
  };
  for (const PromotionCase& c : cases) {
    Program program;
    program.input("a", c.a, c.a_sizes);
    if (std::holds_alternative<TensorName>(c.b)) program.input("b", c.b_dtype, c.b_sizes);
    program.node("aten." + c.target, "n", c.result, {3}, {of("self", "a"), arg("other", c.b)});
    EXPECT_THAT(program.nodes(), HasSubstr(c.want)) << c.target;
  }
}

TEST(LowerProgram, NormalisesSlicesOfSymbolicSizes) {
  struct Case {
    int64_t start, end;
    Dim size;
    std::string want;
  };
  constexpr int64_t kEnd = INT64_MAX;
  const Case cases[] = {
      {1, kEnd, s0 - Dim(1), "start = dim(1), step = 1, stop = dim(s0)"},
      {0, -1, s0 - Dim(1), "start = dim(0), step = 1, stop = dim(s0 - 1)"},
      {-2, kEnd, 2, "start = dim(s0 - 2), step = 1, stop = dim(s0)"},
      {0, 9, Dim::min(9, s0), "start = dim(0), step = 1, stop = dim(min(s0, 9))"},
      {0, 2, 2, "start = dim(0), step = 1, stop = dim(2)"},
  };
  for (const Case& c : cases) {
    Program program;
    program.input("x", kF32, {s0})
        .node("aten.slice.Tensor", "n", kF32, {c.size},
              {of("self", "x"), arg("dim", int64_t{-1}), arg("start", c.start), arg("end", c.end)});
    program.get().symbols = {{"s0", 2, 8, 200}};
    EXPECT_THAT(program.nodes(), HasSubstr(c.want));
  }
}

TEST(LowerProgram, KeepsCompositeOpsWholeAndFillsDefaults) {
  Program program;
  program.input("q", kF32, {2, 4, 5, 16}).input("k", kF32, {2, 2, 7, 16});
  program.node(
      "aten.scaled_dot_product_attention.default", "n", kF32, {2, 4, 5, 16},
      {of("query", "q"), of("key", "k"), of("value", "k"), arg("is_causal", true), arg("enable_gqa", true)});
  EXPECT_EQ(program.nodes(), "%n: f32[2, 4, 5, 16] = attention(%q, %k, %k) {causal = true, scale = 0.25}\n");
}

TEST(LowerProgram, TakesLiteralsInAndLeavesWeightsOut) {
  Program program;
  program.constant(Input::kBuffer, "ids", kI64, {2})
      .constant(Input::kParameter, "w", kF32, {2})
      .constant(Input::kBuffer, "mean", kF32, {2})
      .constant(Input::kBuffer, "scale", DType::kU8, {})
      .constant(Input::kBuffer, "big", kI64, {8193});
  program.input("x", kF32, {2}).node("aten.add.Tensor", "n", kF32, {2}, {of("self", "x"), of("other", "w")});
  const Result<ir::Graph> graph = program.lower();
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  std::vector<std::string> weights, literals;
  for (const ir::Value* value : graph->weights()) weights.push_back(value->name());
  for (const ir::Value* value : graph->literals()) literals.push_back(value->name());
  EXPECT_THAT(weights, testing::ElementsAre("the.w", "the.mean", "the.big"));
  EXPECT_THAT(literals, testing::ElementsAre("the.ids", "the.scale"));
}

TEST(LowerProgram, ReadsStridedLiteralsInOrder) {
  Program program;
  program.constant(Input::kBuffer, "t", DType::kU8, {2, 2});
  TensorMeta& meta = program.get().weights["the.t"].meta;
  meta.strides = {1, 2};
  meta.storage_offset = 4;
  program.input("x", DType::kU8, {2, 2}).output("x");
  const Result<ir::Graph> graph = program.lower();
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const std::vector<std::byte>& bytes = graph->literals().front()->literal();
  const uint8_t want[] = {4, 6, 5, 7};
  ASSERT_EQ(bytes.size(), sizeof(want));
  EXPECT_EQ(std::memcmp(bytes.data(), want, sizeof(want)), 0);
}

TEST(LowerProgram, MakesInPlaceOpsFunctional) {
  Program program;
  program.input("x", kF32, {3})
      .node("aten.clone.default", "y", kF32, {3}, {of("self", "x")})
      .node("aten.add_.Tensor", "z", kF32, {3}, {of("self", "y"), arg("other", int64_t{1})})
      .node("aten.mul.Tensor", "n", kF32, {3}, {of("self", "y"), of("other", "x")});
  EXPECT_EQ(program.nodes(),
            "%number: f32[] = literal(1)\n"
            "%z: f32[3] = add(%x, %number)\n"
            "%n: f32[3] = mul(%z, %x)\n");
}

TEST(LowerProgram, InPlaceOpsKeepTheirTensorsDType) {
  Program program;
  program.input("x", kBF16, {3}).input("y", kF32, {3});
  program.node("aten.neg.default", "z", kBF16, {3}, {of("self", "x")})
      .node("aten.add_.Tensor", "n", kBF16, {3}, {of("self", "z"), of("other", "y")});
  EXPECT_THAT(program.nodes(), HasSubstr("bf16[3] = cast("));
}

TEST(LowerProgram, RefusesToChangeWhatALiveViewShows) {
  Program program;
  program.input("x", kF32, {4})
      .node("aten.neg.default", "y", kF32, {4}, {of("self", "x")})
      .node("aten.view.default", "v", kF32, {2, 2}, {of("self", "y"), ints("size", {2, 2})})
      .node("aten.relu_.default", "z", kF32, {4}, {of("self", "y")})
      .node("aten.neg.default", "n", kF32, {2, 2}, {of("self", "v")});
  EXPECT_EQ(program.error(),
            "1 of 3 ops is not supported\n"
            "  aten.relu_.default  1 node  first: z (model.py:7)  it changes a tensor of which another view "
            "is used "
            "later\n"
            "  PyTorch can write this model in plain ops, each with a new result; then save it again:\n"
            "    ep = ep.run_decompositions({})\n"
            "    torch.export.save(ep, \"model.pt2\")");
}

TEST(LowerProgram, AViewThatIsNotUsedLaterDoesNotHinder) {
  Program program;
  program.input("x", kF32, {4})
      .node("aten.neg.default", "y", kF32, {4}, {of("self", "x")})
      .node("aten.view.default", "v", kF32, {2, 2}, {of("self", "y"), ints("size", {2, 2})})
      .node("aten.neg.default", "n", kF32, {2, 2}, {of("self", "v")})
      .node("aten.relu_.default", "z", kF32, {4}, {of("self", "y")});
  EXPECT_THAT(program.nodes(), HasSubstr("%z: f32[4] = relu(%y)"));
}

TEST(LowerProgram, RefusesToChangeInputsAndBuffers) {
  Program program;
  program.constant(Input::kBuffer, "b", kF32, {3}).input("x", kF32, {3});
  program.node("aten.relu_.default", "y", kF32, {3}, {of("self", "x")})
      .node("aten.relu_.default", "n", kF32, {3}, {of("self", "b")});
  const std::string error = program.error();
  EXPECT_THAT(error, HasSubstr("first: y (model.py:7)  it changes the input 'x' in place"));
  EXPECT_THAT(error, HasSubstr("first: n (model.py:7)  it changes 'the.b', a state"));
}

TEST(LowerProgram, ReportsAllUnsupportedOpsAtOnce) {
  Program program;
  program.input("x", kF32, {3});
  program.get().decomposed = true;
  program.node("aten.fft_rfft.default", "a", kF32, {2}, {of("self", "x")})
      .node("aten.fft_rfft.default", "b", kF32, {2}, {of("self", "x")})
      .node("aten.gelu.default", "c", kF32, {3}, {of("self", "x"), arg("approximate", std::string("magic"))})
      .node("aten.relu.default", "d", kF32, {3}, {of("self", "c")});
  EXPECT_EQ(
      program.error(),
      "2 of 3 ops are not supported\n"
      "  aten.fft_rfft.default  2 nodes  first: a (model.py:7)  no lowering\n"
      "  aten.gelu.default      1 node   first: c (model.py:7)  approximate = 'magic' is not supported; "
      "'none' and 'tanh' are");
}

TEST(LowerProgram, RefusesArgumentsThatItDoesNotKnow) {
  Program program;
  program.input("x", kF32, {3})
      .node("aten.relu.default", "n", kF32, {3}, {of("self", "x"), arg("inverted", true)});
  EXPECT_THAT(program.error(), HasSubstr("its argument 'inverted' is not known"));
}

TEST(LowerProgram, NamesBuffersThatARunWouldChange) {
  Program program;
  program.constant(Input::kBuffer, "cache", kF32, {3}).input("x", kF32, {3}).output("x");
  program.get().outputs.push_back({OutputSpecEntry::Kind::kBufferMutation, TensorName{"x"}, "the.cache"});
  EXPECT_THAT(program.error(), HasSubstr("each run of the model changes buffer 'the.cache'"));
}

TEST(LowerProgram, SaysWhereATypeDoesNotAgreeWithPyTorch) {
  Program program;
  program.input("x", kF32, {3}).node("aten.relu.default", "n", kF32, {4}, {of("self", "x")});
  const Result<ir::Graph> graph = program.lower();
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.status().code(), Code::kInternal);
  EXPECT_EQ(graph.status().message(),
            "node 'n' (model.py:7), aten.relu.default: result 0 is f32[3], but PyTorch says f32[4]");
}

TEST(LowerProgram, ResultsWhoseSizeDependsOnValuesAreRefused) {
  Program program;
  program.input("x", kF32, {3})
      .node("aten.nonzero.default", "a", kI64, {Dim::symbol("u0"), 1}, {of("self", "x")});
  program.node("aten.neg.default", "n", kI64, {Dim::symbol("u0"), 1}, {of("self", "a")});
  EXPECT_THAT(program.error(), HasSubstr("the size of its result depends on values (u0)"));
}

TEST(LowerProgram, OutputsMayBeNumbersNoneInputsAndRepeated) {
  Program program;
  program.input("x", kF32, {s0}).output("x").output("x");
  program.get().symbols = {{"s0", 2, 8, 200}};
  program.get().sym_ints["n"] = s0 * Dim(2);
  for (Argument output : {Argument(SymName{"n"}), Argument(NoneArgument{}), Argument(int64_t{7})}) {
    program.get().outputs.push_back({OutputSpecEntry::Kind::kUserOutput, std::move(output)});
  }
  const Result<ir::Graph> graph = program.lower();
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_THAT(ir::print(*graph), HasSubstr("return %x as \"output\", %x as \"output_1\", dim(2 * s0) as "
                                           "\"output_2\", none as \"output_3\", dim(7) as \"output_4\""));
}

TEST(LowerProgram, NamesInputsAndOutputsByTheirTrees) {
  Program program;
  program.input("ids", kI64, {2}).input("past_0_key", kF32, {2}).input("past_0_value", kF32, {2});
  program.output("past_0_key").output("ids");
  program.get().forward_arg_names = {"input_ids", "past"};
  const std::string leaf = R"({"type": null, "context": null, "children_spec": []})";
  const std::string past =
      R"({"type": "builtins.list", "context": "null", "children_spec": [)"
      R"({"type": "builtins.dict", "context": "[\"key\", \"value\"]", "children_spec": [)" +
      leaf + ", " + leaf + "]}]}";
  program.get().in_spec = R"([1, {"type": "builtins.tuple", "context": "null", "children_spec": [)"
                          R"({"type": "builtins.tuple", "context": "null", "children_spec": [)" +
                          leaf + ", " + past +
                          R"(]}, {"type": "builtins.dict", "context": "[]", "children_spec": []}]}])";
  program.get().out_spec =
      R"([1, {"type": "Output", "context": "[\"state\", \"seen\"]", "children_spec": [)" + leaf + ", " +
      leaf + "]}]";
  const Result<ir::Graph> graph = program.lower();
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  ASSERT_EQ(graph->inputs().size(), 3U);
  EXPECT_EQ(graph->inputs()[0].name, "input_ids");
  EXPECT_EQ(graph->inputs()[1].name, "past[0].key");
  EXPECT_EQ(graph->inputs()[2].name, "past[0].value");
  EXPECT_EQ(graph->outputs()[0].name, "state");
  EXPECT_EQ(graph->outputs()[1].name, "seen");
}

TEST(LowerProgram, DropsGuardsThatTheRangesImply) {
  Program program;
  program.input("x", kF32, {s0}).output("x");
  program.get().symbols = {{"s0", 2, 8, 200}};
  program.get().guards_code = {"L['x'].size()[0] <= 200", "L['x'].size()[0] % 4 == 0"};
  const Result<ir::Graph> graph = program.lower();
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_THAT(ir::print(*graph), HasSubstr("guards(s0 % 4 == 0)"));
}

}  // namespace
}  // namespace headrace::frontend
