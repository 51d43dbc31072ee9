// parse_program on texts: what it takes, and what it refuses and how.
#include <gmock/gmock.h>

#include <cmath>

#include "core/error.h"
#include "frontend/frontend.h"
#include "frontend/program_graph.h"
#include "frontend/test_zip.h"

namespace headrace::frontend {
namespace {

using testing::HasSubstr;

constexpr std::string_view kTensor =
    R"({"dtype":7,"sizes":[{"as_int":2}],"strides":[{"as_int":1}],"storage_offset":{"as_int":0},"layout":7,"device":{"type":"cpu","index":null}})";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// y = relu(x) + w, with the keys that may be missing left out.
std::string model() {
  return fmt::format(R"({{"graph_module":{{"graph":{{
    "inputs":[{{"as_tensor":{{"name":"p_w"}}}},{{"as_tensor":{{"name":"x"}}}}],
    "outputs":[{{"as_tensor":{{"name":"add"}}}}],
    "nodes":[
      {{"target":"torch.ops.aten.relu.default","inputs":[{{"name":"self","arg":{{"as_tensor":{{"name":"x"}}}},"kind":1}}],
        "outputs":[{{"as_tensor":{{"name":"relu"}}}}],"metadata":{{}},"name":"relu"}},
      {{"target":"torch.ops.aten.add.Tensor","inputs":[
        {{"name":"self","arg":{{"as_tensor":{{"name":"relu"}}}},"kind":1}},
        {{"name":"other","arg":{{"as_tensor":{{"name":"p_w"}}}},"kind":1}}],
        "outputs":[{{"as_tensor":{{"name":"add"}}}}],"metadata":{{}}}}],
    "tensor_values":{{"p_w":{0},"x":{0},"relu":{0},"add":{0}}}}},
   "signature":{{"input_specs":[{{"parameter":{{"arg":{{"name":"p_w"}},"parameter_name":"w"}}}},
                               {{"user_input":{{"arg":{{"as_tensor":{{"name":"x"}}}}}}}}],
                "output_specs":[{{"user_output":{{"arg":{{"as_tensor":{{"name":"add"}}}}}}}}]}}}},
   "schema_version":{{"major":8,"minor":99}},"some_later_key":[1,2,{{}}]}})",
                     kTensor);
}

std::string weights() {
  return fmt::format(
      R"({{"config":{{"w":{{"path_name":"weight_0","is_param":true,"use_pickle":false,"tensor_meta":{}}}}}}})",
      kTensor);
}

Status status_of(std::string_view json, std::string_view config = weights()) {
  return parse_program(json, config, "").status();
}

TEST(ParseProgram, TakesMissingAndUnknownKeysAndAnyMinor) {
  const auto program = parse_program(model(), weights(), "");
  ASSERT_TRUE(program.ok()) << program.status().message();
  EXPECT_EQ(program->schema_minor, 99);
  EXPECT_FALSE(program->decomposed);
  ASSERT_EQ(program->nodes.size(), 2u);
  EXPECT_EQ(program->nodes[1].name, "add") << "an unnamed node goes by its output";
  EXPECT_EQ(program->nodes[1].location, "");
  EXPECT_EQ(program->weights.at("w").storage, "data/weights/weight_0");
  EXPECT_TRUE(program->symbols.empty());
}

Argument argument_of(std::string_view json) {
  const std::string text =
      replaced(model(), R"({"as_tensor":{"name":"relu"}},"kind":1)", fmt::format("{},\"kind\":2", json));
  const auto program = parse_program(text, weights(), "");
  if (!program.ok()) {
    ADD_FAILURE() << json << ": " << program.status().message();
    return {};
  }
  EXPECT_TRUE(program->nodes[1].inputs[0].keyword);
  return program->nodes[1].inputs[0].value;
}

NamedConstant constant(NamedConstant::Kind kind, std::string text) { return {kind, std::move(text)}; }

TEST(ParseProgram, ReadsEveryKindOfArgument) {
  using Tensors = std::vector<std::optional<TensorName>>;
  using Ints = std::vector<IntOrSym>;
  using Kind = NamedConstant::Kind;
  const std::pair<std::string_view, Argument> cases[] = {
      {R"({"as_none":true})", NoneArgument{}},
      {R"({"as_tensors":[{"name":"x"},{"name":"p_w"}]})", Tensors{TensorName{"x"}, TensorName{"p_w"}}},
      {R"({"as_optional_tensors":[{"as_none":true},{"as_tensor":{"name":"x"}}]})",
       Tensors{std::nullopt, TensorName{"x"}}},
      {R"({"as_optional_tensor":{"as_tensor":{"name":"x"}}})", TensorName{"x"}},
      {R"({"as_optional_tensor":{"as_none":true}})", NoneArgument{}},
      {R"({"as_int":9223372036854775807})", INT64_MAX},
      {R"({"as_int":-9223372036854775808})", INT64_MIN},
      {R"({"as_ints":[1,-1]})", Ints{int64_t{1}, int64_t{-1}}},
      {R"({"as_ints":[]})", Ints{}},
      {R"({"as_float":1e-05})", 1e-05},
      {R"({"as_float":3})", 3.0},
      {R"({"as_float":"Infinity"})", INFINITY},
      {R"({"as_float":"-Infinity"})", -INFINITY},
      {R"({"as_floats":[0.5,"Infinity"]})", std::vector<double>{0.5, INFINITY}},
      {R"({"as_string":"same"})", std::string("same")},
      {R"({"as_bool":false})", false},
      {R"({"as_bools":[true,false]})", std::vector<bool>{true, false}},
      {R"({"as_sym_int":{"as_int":4}})", int64_t{4}},
      {R"({"as_sym_float":{"as_float":0.5}})", 0.5},
      {R"({"as_sym_bool":{"as_bool":true}})", true},
      {R"({"as_sym_ints":[{"as_int":3}]})", Ints{int64_t{3}}},
      {R"({"as_scalar_type":13})", DType::kBF16},
      {R"({"as_scalar_type":29})", constant(Kind::kOther, "f8e4m3fn")},
      {R"({"as_memory_format":2})", constant(Kind::kMemoryFormat, "channels_last")},
      {R"({"as_layout":7})", constant(Kind::kLayout, "strided")},
      {R"({"as_device":{"type":"cuda","index":1}})", constant(Kind::kDevice, "cuda:1")},
      {R"({"as_device":{"type":"cpu","index":null}})", constant(Kind::kDevice, "cpu")},
      {R"({"as_graph":{"name":"true_graph_0","graph":{}}})", constant(Kind::kGraph, "true_graph_0")},
      {R"({"as_custom_obj":{"name":"obj","class_fqn":"c"}})", constant(Kind::kCustomObject, "obj")},
      {R"({"as_operator":"torch.add"})", constant(Kind::kOther, R"(as_operator: "torch.add")")},
      {R"({"as_complex":{"real":1,"imag":2}})", constant(Kind::kOther, R"(as_complex: {"real":1,"imag":2})")},
      {R"({"as_int_lists":[[1],[2]]})", constant(Kind::kOther, "as_int_lists: [[1],[2]]")},
      {R"({"as_something_new":5})", constant(Kind::kOther, "as_something_new: 5")},
  };
  for (const auto& [json, want] : cases) {
    SCOPED_TRACE(json);
    EXPECT_EQ(argument_of(json), want);
  }
  EXPECT_TRUE(std::isnan(std::get<double>(argument_of(R"({"as_float":"NaN"})"))));
}

struct BadModel {
  std::string_view from, to;
  Code code;
  std::string_view message;
};

TEST(ParseProgram, RefusesBadModelsWithWhatWasFoundAndWhere) {
  const BadModel cases[] = {
      {"\"major\":8", "\"major\":9", Code::kUnsupported,
       "in schema 9; this version reads schema 8: use a newer"},
      {"\"major\":8", "\"major\":7", Code::kUnsupported, "export the model again with PyTorch 2.11 or later"},
      {"\"major\":8,", "", Code::kCorrupt, "no schema version"},
      {"\"graph\":", "\"grap\":", Code::kCorrupt, "it has no graph"},
      {"{\"graph_module\"", "{\"graph_module", Code::kCorrupt, "model.json: it is not valid JSON"},
      {"\"name\":\"relu\"},", "\"name\":5},", Code::kCorrupt, "'name' should be a text, but is 5"},
      {"\"dtype\":7", "\"dtype\":\"float\"", Code::kCorrupt,
       "model.json, tensor 'p_w': 'dtype' should be a 64-bit integer, but is \"float\""},
      {"{\"as_int\":2}", "{\"as_int\":2,\"as_expr\":{}}", Code::kCorrupt, "should be an object with one key"},
      {"{\"as_int\":2}", "{\"as_expr\":{\"expr_str\":\"ToFloat(Symbol('s0'))\"}}", Code::kUnsupported,
       "'ToFloat'"},
      {"\"strides\":[{\"as_int\":1}]", "\"strides\":[]", Code::kCorrupt, "1 sizes but 0 strides"},
      {R"("inputs":[{"as_tensor":{"name":"p_w"}},)", R"("inputs":[)", Code::kCorrupt,
       "the graph has 1 inputs, its signature 2"},
      {R"({"as_tensor":{"name":"relu"}},"kind")", R"({"as_tensor":{"name":"gone"}},"kind")", Code::kCorrupt,
       "node 'add' (torch.ops.aten.add.Tensor) uses tensor 'gone', which has no description"},
      {R"({"as_tensor":{"name":"relu"}},"kind")", R"({"as_sym_int":{"as_name":"gone"}},"kind")",
       Code::kCorrupt, "uses 'gone', which nothing before it makes"},
      {R"({"as_tensor":{"name":"x"}},"kind")", R"({"as_tensor":{"name":"add"}},"kind")", Code::kCorrupt,
       "node 'relu' (torch.ops.aten.relu.default) uses 'add', which nothing before it makes"},
      {R"("outputs":[{"as_tensor":{"name":"relu"}}])", R"("outputs":[{"as_tensor":{"name":"x"}}])",
       Code::kCorrupt, "makes 'x', which exists already"},
      {R"({"parameter":{)", R"({"weight_of_a_later_schema":{)", Code::kUnsupported,
       "an input of kind 'weight_of_a_later_schema'"},
      {"\"some_later_key\":[1,2,{}]", "\"range_constraints\":{\"s0\":{\"min_val\":9,\"max_val\":3}}",
       Code::kCorrupt, "range of 's0': it is empty, 9 to 3"},
      {"\"parameter_name\":\"w\"", "\"parameter_name\":\"v\"", Code::kCorrupt, "tensor 'v' is used, but"},
  };
  for (const BadModel& bad : cases) {
    SCOPED_TRACE(fmt::format("{} -> {}", bad.from, bad.to));
    const Status status = status_of(replaced(model(), bad.from, bad.to));
    EXPECT_EQ(status.code(), bad.code);
    EXPECT_THAT(status.message(), HasSubstr(bad.message));
  }
  EXPECT_EQ(status_of("").code(), Code::kCorrupt);
  EXPECT_EQ(status_of("[]").code(), Code::kCorrupt);
  EXPECT_EQ(status_of(std::string(5000, '[')).code(), Code::kCorrupt);
}

TEST(ParseProgram, RefusesWeightsThatItCannotRead) {
  const BadModel cases[] = {
      {"\"use_pickle\":false", "\"use_pickle\":true", Code::kUnsupported,
       "program = program.run_decompositions()"},
      {"\"layout\":7", "\"layout\":1", Code::kUnsupported,
       "tensor 'w' has layout sparse_coo; call .to_dense()"},
      {"\"layout\":7", "\"layout\":6", Code::kUnsupported, "tensor 'w' has layout mkldnn"},
      {"\"dtype\":7", "\"dtype\":29", Code::kUnsupported, "tensor 'w' has dtype f8e4m3fn"},
      {"\"dtype\":7", "\"dtype\":14", Code::kUnsupported, "tensor 'w' has dtype scalar type 14"},
      {"\"as_int\":2", "\"as_int\":-2", Code::kCorrupt, "tensor 'w': size -2 with stride 1"},
      {"{\"as_int\":2}", "{\"as_expr\":{\"expr_str\":\"Symbol('s0')\"}}", Code::kCorrupt,
       "sizes are not fixed"},
      {"\"as_int\":2}],\"strides\":[{\"as_int\":1}",
       "\"as_int\":9223372036854775807}],\"strides\":[{\"as_int\":9223372036854775807}", Code::kCorrupt,
       "more than 2^63 elements"},
      {"\"storage_offset\":{\"as_int\":0}", "\"storage_offset\":{\"as_int\":-1}", Code::kCorrupt,
       "no offset"},
      {"{\"config\"", "{\"config", Code::kCorrupt, "not valid JSON"},
  };
  for (const BadModel& bad : cases) {
    SCOPED_TRACE(fmt::format("{} -> {}", bad.from, bad.to));
    const Status status = status_of(model(), replaced(weights(), bad.from, bad.to));
    EXPECT_EQ(status.code(), bad.code);
    EXPECT_THAT(status.message(), HasSubstr(bad.message));
  }
}

TEST(ParseProgram, MakesSymbolsOfRangesAndExamples) {
  const std::string ranges =
      R"("s0":{"min_val":1,"max_val":200},"8*s1":{"min_val":16,"max_val":512},"s1":{"min_val":2,"max_val":64},)"
      R"("s2":{"min_val":null,"max_val":null},"s3":{"min_val":3,"max_val":9223372036854775806})";
  std::string text =
      replaced(model(), "\"some_later_key\":[1,2,{}]", fmt::format("\"range_constraints\":{{{}}}", ranges));
  const std::pair<std::string_view, std::string_view> sizes[] = {
      {"Symbol('s0', positive=True)", R"({"as_int":7})"},
      {"Mul(Integer(8), Symbol('s1'))", R"({"as_int":24})"},
      {"Symbol('s4')", "null"},
  };
  for (const auto& [expression, hint] : sizes) {
    const auto size = fmt::format(R"({{"as_expr":{{"expr_str":"{}","hint":{}}}}})", expression, hint);
    text = replaced(text, "{\"as_int\":2}", size);
  }
  const auto program = parse_program(text, weights(), "");
  ASSERT_TRUE(program.ok()) << program.status().message();
  const std::vector<Symbol> want = {{"s0", 1, 7, 200},
                                    {"s1", 2, 3, 64},
                                    {"s2", 0, 0, kUnboundedSize},
                                    {"s3", 3, 3, kUnboundedSize},
                                    {"s4", 0, 0, kUnboundedSize}};
  EXPECT_EQ(program->symbols, want);
  EXPECT_EQ(program->tensors.at("x").sizes[0].text(), "8 * s1");
}

TEST(LocationOf, IsTheInnermostFrameOutsideTorch) {
  EXPECT_EQ(
      location_of(
          "  File \"/home/a/model.py\", line 41, in forward\n    return self.l(x)\n"
          "  File \"/v/lib/python3.11/site-packages/torch/nn/modules/linear.py\", line 134, in forward\n"),
      "model.py:41");
  EXPECT_EQ(location_of("File \"/v/site-packages/torchvision/models/resnet.py\", line 9, in f\n    x"),
            "resnet.py:9");
  EXPECT_EQ(location_of("File \"/a/m.py\", line 3, in f\n  File \"<eval_with_key>.1\", line 9, in g"),
            "m.py:3");
  EXPECT_EQ(location_of("File \"torch/fx/passes/runtime_assert.py\", line 24, in f"), "");
  for (const std::string_view text : {"", "File \"", "File \"a", "File \"a\", line ", "File \"a\", line x"}) {
    EXPECT_EQ(location_of(text), "") << text;
  }
}

// An archive of these entries, stored as torch.export stores them.
Status archive_status(const std::vector<TestEntry>& entries) {
  const TestFile file(make_zip(entries));
  return read_program(*Archive::open(file.path()).value()).status();
}

TEST(ReadProgram, ExplainsArchivesThatHoldNoProgramOfItsKind) {
  const TestEntry json{"m/models/model.json", model()};
  const TestEntry config{"m/data/weights/model_weights_config.json", weights()};
  const TestEntry weight{"m/data/weights/weight_0", std::string(8, 'w')};
  EXPECT_TRUE(archive_status({json, config, weight}).ok())
      << archive_status({json, config, weight}).message();

  const std::pair<std::vector<TestEntry>, std::string_view> cases[] = {
      {{json, config}, "tensor 'w' should be in 'data/weights/weight_0', which the archive lacks"},
      {{json, config, {"m/data/weights/weight_0", "1234567"}},
       "needs 2 elements of f32, but 'data/weights/weight_0' has 7 bytes"},
      {{json, weight}, "tensor 'w' is used, but"},
      {{json, {"m/data/weights/model.pt", "pickle"}}, "are Python pickles ('data/weights/model.pt')"},
      {{config, weight}, "no models/*.json"},
      {{json, {"m/models/decoder.json", "{}"}}, "it has 2 models, 'decoder', 'model'; save each"},
      {{{"m/data/aotinductor/model/x.so", "elf"}}, "AOTInductor"},
      {{{"m/data.pkl", "pickle"}, {"m/version", "3"}},
       "torch.export.save(torch.export.export(model, args), path)"},
      {{{"serialized_exported_program.json", "{}"}, {"version", "5.1"}}, "by a PyTorch before 2.7"},
      {{json, config, weight, {"m/byteorder", "big"}}, "its byte order is 'big'; only 'little' is read"},
      {{json, config, weight, {"m/archive_version", "1"}}, "its format version is '1'"},
  };
  for (const auto& [entries, message] : cases) {
    const Status status = archive_status(entries);
    EXPECT_THAT(status.message(), HasSubstr(message));
    EXPECT_THAT(status.message(), HasSubstr("test.pt2"));
    EXPECT_TRUE(status.code() == Code::kCorrupt || status.code() == Code::kUnsupported);
  }
}

}  // namespace
}  // namespace headrace::frontend
