#include "lowering/plan_builder.h"

#include <gtest/gtest.h>

#include "lowering/reference/reference_lowering.h"

namespace headrace {
namespace {

ir::Graph parsed(std::string_view text) {
  Result<ir::Graph> graph = ir::parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  return graph.ok() ? *std::move(graph) : ir::Graph();
}

Plan lowered(std::string_view text) {
  const ir::Graph graph = parsed(text);
  Result<Plan> plan = reference::make_lowering()->lower(graph);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  if (!plan.ok()) return {};
  EXPECT_TRUE(verify(*plan).ok()) << verify(*plan).message();
  return *std::move(plan);
}

const Buffer& buffer_of(const Plan& plan, TensorIndex tensor) {
  return plan.buffers[static_cast<size_t>(plan.tensors[static_cast<size_t>(tensor)].buffer)];
}

TEST(PlanBuilder, TakesOverTheSignature) {
  const Plan plan = lowered(R"(graph(%x: f32[s0, 4], "n": dim(s1), "flag": const("true"))
      symbols(s0: 1 <= 8 <= 200, s1: 0 <= 1 <= 2) guards(s0 <= 100) in_spec("in") out_spec("out") {
    %y: f32[s0, 4] = relu(%x)
    return %y as "y", dim(2*s0) as "n", none as "past"
  })");
  ASSERT_EQ(plan.inputs.size(), 3u);
  EXPECT_EQ(plan.inputs[1].kind, InputKind::kNumber);
  EXPECT_EQ(plan.inputs[1].symbol, "s1");
  EXPECT_EQ(plan.inputs[2].kind, InputKind::kConstant);
  EXPECT_EQ(plan.inputs[2].constant, "true");
  ASSERT_EQ(plan.outputs.size(), 3u);
  EXPECT_EQ(plan.outputs[1].kind, OutputKind::kNumber);
  EXPECT_EQ(plan.outputs[1].number.text(), "2 * s0");
  EXPECT_EQ(plan.outputs[2].kind, OutputKind::kNoneValue);
  EXPECT_EQ(plan.symbols.size(), 2u);
  EXPECT_EQ(plan.guards, (std::vector<ShapeGuard>{{Dim::symbol("s0"), 100, Relation::kLe}}));
  EXPECT_EQ(plan.in_spec, "in");
  EXPECT_EQ(plan.out_spec, "out");
}

TEST(PlanBuilder, WritesAnOutputInItsOwnBufferAndHandsOthersThrough) {
  const Plan plan = lowered(R"(graph(%x: f32[4], %unused: f32[2]) {
    %one: f32[] = literal(1)
    %y: f32[4] = exp(%x)
    %z: f32[4] = neg(%y)
    return %y as "a", %x as "b", %y as "c", %one as "d", %z as "e"
  })");
  EXPECT_EQ(buffer_of(plan, plan.outputs[0].tensor).kind, BufferKind::kOutput);
  EXPECT_EQ(buffer_of(plan, plan.outputs[0].tensor).index, 0);
  EXPECT_EQ(buffer_of(plan, plan.outputs[1].tensor).kind, BufferKind::kInput);
  EXPECT_EQ(plan.outputs[2].tensor, plan.outputs[0].tensor);
  EXPECT_EQ(buffer_of(plan, plan.outputs[3].tensor).kind, BufferKind::kLiteral);
  EXPECT_EQ(buffer_of(plan, plan.outputs[4].tensor).index, 4);
  EXPECT_EQ(plan.inputs[1].buffer, kNone);
}

TEST(PlanBuilder, GivesArenaBuffersTheStepsThatTouchThem) {
  const Plan plan = lowered(R"(graph(%x: f32[4]) {
    %a: f32[4] = exp(%x)
    %b: f32[4] = neg(%a)
    %c: f32[4] = add(%b, %a)
    %d: f32[4] = abs(%c)
    return %d as "d"
  })");
  const Buffer& a = buffer_of(plan, plan.steps[0].outputs[0]);
  EXPECT_EQ(a.kind, BufferKind::kArena);
  EXPECT_EQ(a.first_step, 0);
  EXPECT_EQ(a.last_step, 2);
  const Buffer& c = buffer_of(plan, plan.steps[2].outputs[0]);
  EXPECT_EQ(c.first_step, 2);
  EXPECT_EQ(c.last_step, 3);
}

TEST(PlanBuilder, MakesOneWeightOfEachRecipeInTheOrderOfUse) {
  const Plan plan = lowered(R"(graph(%x: f32[2, 3]) {
    @late: f32[3] = weight("l", offset 0, strides [1])
    @w: f32[3, 3] = weight("w", offset 0, strides [3, 1])
    @tied: f32[3, 3] = weight("w", offset 0, strides [3, 1])
    @v: f32[3, 3] = weight("v", offset 0, strides [3, 1])
    @dead: f32[3, 3] = weight("d", offset 0, strides [3, 1])
    %t: f32[3, 3] = transpose(@w) {perm = [1, 0]}
    %u: f32[3, 3] = transpose(@tied) {perm = [1, 0]}
    %j: f32[6, 3] = concat(@w, @v) {axis = 0}
    %e: f32[3, 3] = exp(@v)
    %a: f32[2, 3] = matmul(%x, %t)
    %b: f32[2, 3] = matmul(%a, %u)
    %c: f32[2, 6] = matmul(%b, %j) {transpose_b = true}
    %f: f32[2, 3] = matmul(%b, %e)
    %g: f32[2, 3] = add(%f, @late)
    return %c as "c", %g as "g"
  })");
  ASSERT_EQ(plan.weights.size(), 4u);
  EXPECT_EQ(plan.weights[0].name, "w");
  EXPECT_EQ(plan.weights[1].name, "w+v");
  EXPECT_EQ(plan.weights[2].name, "v.folded");
  EXPECT_EQ(plan.weights[3].name, "late");
  EXPECT_EQ(plan.weights[0].recipe.size(), 2u);
  EXPECT_EQ(plan.weights[0].recipe[1].op, RecipeOp::kStrided);
  EXPECT_EQ(plan.weights[1].recipe[2].op, RecipeOp::kConcat);
  EXPECT_EQ(plan.weights[2].recipe[1].op, RecipeOp::kEval);
  EXPECT_EQ(plan.weights[1].stored, (Bytes{72}));
  EXPECT_EQ(plan.sources.size(), 3u);
  EXPECT_EQ(buffer_of(plan, plan.steps[0].inputs[1]), buffer_of(plan, plan.steps[1].inputs[1]));
}

TEST(PlanBuilder, ReadsAWeightByRowsWhereOnlyGathersReadIt) {
  const std::string head = R"(graph(%i: i64[2]) {
    @w: f32[9, 3] = weight("w", offset 0, strides [3, 1])
    %a: f32[2, 3] = gather(@w, %i) {axis = 0}
  )";
  EXPECT_EQ(lowered(head + "return %a as \"a\" }").weights[0].use, WeightUse::kRows);
  const Plan shared = lowered(head + R"(%b: f32[2, 9] = matmul(%a, @w) {transpose_b = true}
    return %b as "b" })");
  ASSERT_EQ(shared.weights.size(), 1u);
  EXPECT_EQ(shared.weights[0].use, WeightUse::kWhole);
}

// --- Views ---

class Views : public testing::Test {
 protected:
  Views()
      : graph_(parsed("graph(%x: f32[s0, 6, 4]) symbols(s0: 1 <= 2 <= 9) { return %x as \"x\" }")),
        builder_(graph_, "test", "1"),
        x_(*builder_.tensor(graph_.inputs()[0].value)) {}
  std::string strides(TensorIndex tensor) const {
    return to_text(std::span<const Dim>(builder_.at(tensor).strides));
  }
  ir::Graph graph_;
  PlanBuilder builder_;
  TensorIndex x_;
  const Dim s0_ = Dim::symbol("s0");
};

TEST_F(Views, OfSlicesKeepTheirStrides) {
  const TensorIndex part = builder_.slice_view(x_, 2, 1, 2, 2);
  EXPECT_EQ(strides(part), "[24, 4, 2]");
  EXPECT_EQ(builder_.at(part).offset.text(), "1");
  EXPECT_FALSE(builder_.is_row_major(part));
  EXPECT_TRUE(builder_.is_row_major(x_));
}

TEST_F(Views, OfTransposesMoveStrides) {
  const int64_t perm[] = {2, 0, 1};
  EXPECT_EQ(strides(builder_.transpose_view(x_, perm)), "[1, 24, 4]");
}

TEST_F(Views, OfExpansionsHaveZeroStrides) {
  const TensorIndex one = builder_.slice_view(x_, 1, 2, 1);
  EXPECT_EQ(strides(builder_.expand_view(one, {3, s0_, 5, 4})), "[0, 24, 0, 1]");
}

TEST_F(Views, SplitAndMergeDenseDimensions) {
  const auto merged = builder_.reshape_view(x_, {6 * s0_, 4});
  ASSERT_TRUE(merged.has_value());
  EXPECT_EQ(strides(*merged), "[4, 1]");
  const int64_t perm[] = {1, 0, 2};
  const TensorIndex turned = builder_.transpose_view(x_, perm);
  EXPECT_FALSE(builder_.reshape_view(turned, {6 * s0_, 4}).has_value());
  const auto split = builder_.reshape_view(turned, {6, s0_, 2, 1, 2});
  ASSERT_TRUE(split.has_value());
  EXPECT_EQ(strides(*split), "[4, 24, 2, 1, 1]");
}

TEST_F(Views, OfAPartSplitItsInnerDimension) {
  const TensorIndex part = builder_.slice_view(x_, 2, 0, 2);  // [s0, 6, 2] of [s0, 6, 4]
  const auto split = builder_.reshape_view(part, {s0_, 2, 3, 2});
  ASSERT_TRUE(split.has_value());
  EXPECT_EQ(strides(*split), "[24, 12, 4, 1]");
  EXPECT_FALSE(builder_.reshape_view(part, {s0_, 12}).has_value());
}

TEST(PlanBuilderOutputs, AreWrittenThroughReshapesWhereAsked) {
  const ir::Graph graph = parsed(R"(graph(%x: f32[4, 6]) {
    %a: f32[4, 6] = exp(%x)
    %b: f32[24] = reshape(%a) {shape = dims[24]}
    return %b as "b"
  })");
  PlanBuilder builder(graph, "test", "1");
  builder.write_outputs_through_reshapes();
  for (const auto& node : graph.nodes()) {
    const Result<bool> placed = builder.place_view(*node);
    ASSERT_TRUE(placed.ok());
    if (!*placed) {
      ASSERT_TRUE(builder.add_step(*node).ok());
    }
  }
  const Result<Plan> plan = builder.finish();
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->steps.size(), 1u);
  EXPECT_EQ(buffer_of(*plan, plan->outputs[0].tensor).kind, BufferKind::kOutput);
  EXPECT_EQ(buffer_of(*plan, plan->steps[0].outputs[0]), buffer_of(*plan, plan->outputs[0].tensor));
}

}  // namespace
}  // namespace headrace
