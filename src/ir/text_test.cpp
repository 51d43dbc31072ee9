#include <gtest/gtest.h>

#include "ir/graph.h"

namespace headrace::ir {
namespace {

constexpr const char* kCanonical =
    R"(graph(%x: f32[s0, 4], "n": dim(s1), "flag": const("true")) symbols(s0: 1 <= 8 <= 200, s1: 0 <= 3 <= 9) guards(2 * s0 <= 512) in_spec("[1, {\"type\": null}]") {
  @w: f32[3, 4] = weight("data/weights/weight_0", offset 8, strides [1, 3])
  @b: f32[3] = weight("data/weights/weight_1", offset 0, strides [1])
  %half: f32[] = literal(0.5)
  %nan: f32[1] = literal(hex("0000c07f"))
  %ids: i64[3] = literal(1, -2, 9223372036854775807)
  %cache: f32[s0, 3] = state
  %y: f32[s0, 3] = matmul(%x, @w, @b, _) {epilogue = "relu", transpose_b = true}
  %z: f32[s0, 3] = mul(%y, %half) "scaled"
  %p_0: f32[s0, 3], %p_1: bool[s0, 3] = pointwise(%z, %half) {program = "(f32, f32) r2: f32 = add(r0, r1); r3: bool = gt(r2, r1) -> r2, r3"} "p"
  %t: f32[3, s0] = transpose(%p_0) {perm = [1, 0]}
  %r: f32[3 * s0] = reshape(%t) {shape = dims[3 * s0]}
  %i: i64[s1] = iota() {count = dim(s1), start = dim(0)}
  return %r as "out", %x as "same", dim(2 * s0) as "n", none as "past"
}
)";

TEST(GraphText, PrintsWhatItParsed) {
  const Result<Graph> graph = parse(kCanonical);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(print(*graph), kCanonical);
  EXPECT_EQ(print(graph->clone()), kCanonical);
}

struct BadCase {
  const char* text;
  const char* message;
};
constexpr BadCase kBadCases[] = {
    {"graph() {", "line 1: expected %name or @name"},
    {"graph(%x: f32[2]) { return %y as \"o\" }", "'%y' is not defined"},
    {"graph(%x: f32[2]) { %y: f32[2] = frob(%x) return }", "there is no op 'frob'"},
    {"graph(%x: f32[2]) { %y: f32[3] = neg(%x) return }", "'y' is f32[2], not f32[3]"},
    {"graph(%x: f32[2], %x: f32[2]) { return }", "'x' is defined twice"},
    {"graph(%x: f32[s0]) { return }", "symbol s0 is not declared"},
    {"graph(%x: f32[2]) { %l: f32[2] = literal(1) return }", "literal 'l' is f32[2] and holds 4 bytes"},
    {"graph(%x: f32[2, 3], %y: f32[2, 3]) { %z: f32[2, 2] = matmul(%x, %y) return }",
     "matmul 'z': inner sizes differ: a is f32[2, 3], b is f32[2, 3]; a's last must equal b's second to "
     "last"},
    {"graph(%x: f32[2]) { %y: f32[2] = softmax(%x) {axis = 1} return }",
     "softmax 'y': axis 1 is outside 0 … 0"},
    {"graph(%x: f32[2]) { %y: f32[2] = softmax(%x) return }", "attribute 'axis' is missing"},
    {"graph(%x: f32[2]) { %y: f32[2] = neg(%x) {axis = 1} return }", "it has no attribute 'axis'"},
    {"graph(%x: f32[2]) { %y: f32[2] = add(%x) return }", "add 'y': it has 1 inputs; the op takes 2 to 2"},
};

TEST(GraphText, ErrorsNameTheRule) {
  for (const BadCase& bad : kBadCases) {
    const Result<Graph> graph = parse(bad.text);
    ASSERT_FALSE(graph.ok()) << bad.text;
    EXPECT_NE(graph.status().message().find(bad.message), std::string::npos) << bad.text << "\n"
                                                                             << graph.status().message();
  }
}

TEST(Graph, ReplacingAndErasingKeepsUsesTrue) {
  Graph graph = parse(kCanonical).value();
  Value* const z = graph.find("z");
  Value* const y = graph.find("y");
  graph.replace_uses(z, y);
  EXPECT_TRUE(z->users().empty());
  EXPECT_EQ(y->users().size(), 2u);
  graph.erase(z->producer());
  EXPECT_EQ(graph.find("z"), nullptr);
  EXPECT_TRUE(verify(graph).ok());
}

TEST(Graph, WeightOnlyNodesAreThoseThatReadWeightsAndLiteralsAlone) {
  Graph graph = parse(kCanonical).value();
  Value* const w = graph.find("w");
  Value* const folded = graph.add("mul", {w, graph.find("half")}, {}, "folded").value();
  EXPECT_TRUE(is_weight_only(*folded));
  EXPECT_TRUE(is_weight_only(*w));
  EXPECT_FALSE(is_weight_only(*graph.find("half")));
  EXPECT_FALSE(is_weight_only(*graph.find("y")));
}

TEST(OpTable, EveryOpHasADocAndItsName) {
  EXPECT_GT(all_ops().size(), 60u);
  for (const Op op : all_ops()) {
    EXPECT_FALSE(op->doc.empty()) << op->name;
    EXPECT_EQ(find_op(op->name), op);
  }
}

}  // namespace
}  // namespace headrace::ir
