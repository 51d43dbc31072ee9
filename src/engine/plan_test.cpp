#include "engine/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/testing.h"

namespace headrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// y = k(x, w, rows) into the arena; z = k(y, w2) into the output.
Plan small_plan() {
  Plan plan;
  plan.backend = "test";
  plan.fingerprint = "1";
  plan.symbols = {{"n", 1, 2, 8}};
  const Dim n = Dim::symbol("n");
  InputSpec x;
  x.name = "x";
  x.shape = {n, 4};
  x.buffer = 0;
  plan.inputs = {x};
  OutputSpec z;
  z.name = "z";
  z.shape = {n, 4};
  z.tensor = 2;
  plan.outputs = {z};
  plan.buffers = {
      {BufferKind::kInput, n * Dim(16), 0, kNone, kNone},  {BufferKind::kArena, n * Dim(16), kNone, 0, 1},
      {BufferKind::kOutput, n * Dim(16), 0, kNone, kNone}, {BufferKind::kWeight, 64, 0, kNone, kNone},
      {BufferKind::kWeight, 64, 1, kNone, kNone},          {BufferKind::kWeight, 64, 2, kNone, kNone},
      {BufferKind::kLiteral, 8, 0, kNone, kNone}};
  const Shape row_major = {4, 1};
  for (int i = 0; i < 3; ++i) plan.tensors.push_back({DType::kF32, {n, 4}, row_major, 0, i});
  for (int i = 3; i < 6; ++i) plan.tensors.push_back({DType::kF32, {4, 4}, row_major, 0, i});
  plan.tensors.push_back({DType::kF32, {2}, {1}, 0, 6});
  plan.steps = {{"k", "first", {0, 3, 5, kNone, 3}, {1}, {}}, {"k", "second", {1, 4, 6}, {2}, {}}};
  plan.sources = {{"s", "data/s", DType::kF32, {4, 4}, {1, 4}, 0}};
  for (int i = 0; i < 3; ++i) {
    Weight weight;
    weight.name = "w" + std::to_string(i);
    weight.shape = {4, 4};
    weight.stored = weight.resident = {64};
    weight.recipe = {{RecipeOp::kSource, {}, 0, DType::kF32, {4, 4}, {}}};
    weight.group = i == 2 ? 1 : 0;
    weight.offset = {i == 1 ? 64 : 0};
    plan.weights.push_back(weight);
  }
  plan.weights[2].use = WeightUse::kRows;
  plan.groups = {{Bytes{0}, Bytes{128}, true}, {Bytes{4096}, Bytes{64}, false}};
  plan.literals = {{DType::kF32, {2}, std::vector<std::byte>(8)}};
  return plan;
}

TEST(VerifyPlan, AcceptsGoodPlans) {
  EXPECT_TRUE(verify(small_plan()).ok()) << verify(small_plan()).message();
  EXPECT_TRUE(verify(Plan()).ok());
  Plan before_grouping = small_plan();
  before_grouping.groups.clear();
  for (Weight& weight : before_grouping.weights) weight.group = kNone;
  EXPECT_TRUE(verify(before_grouping).ok());
}

TEST(VerifyPlan, FindsEachThingThatCanBeWrong) {
  struct Damage {
    std::string_view message;
    void (*make)(Plan&);
  };
  const Damage damages[] = {
      {"range", [](Plan& p) { p.symbols[0].opt = 9; }},
      {"range", [](Plan& p) { p.symbols[0].min = 3; }},
      {"declared twice", [](Plan& p) { p.symbols.push_back(p.symbols[0]); }},
      {"no name", [](Plan& p) { p.symbols[0].name = "2 + 2"; }},
      {"not declared", [](Plan& p) { p.symbols.clear(); }},
      {"not declared",
       [](Plan& p) {
         p.guards.push_back({Dim::symbol("m"), 1, Relation::kEq});
       }},
      {"unknown relation",
       [](Plan& p) {
         p.guards.push_back({1, 1, static_cast<Relation>(6)});
       }},
      {"not declared", [](Plan& p) { p.steps[0].attributes.set("a", Dim::symbol("m")); }},
      {"no dtype", [](Plan& p) { p.steps[0].attributes.set("a", static_cast<DType>(99)); }},
      {"unknown dtype", [](Plan& p) { p.tensors[0].dtype = static_cast<DType>(10); }},
      {"unknown dtype", [](Plan& p) { p.weights[0].dtype = static_cast<DType>(10); }},
      {"unknown dtype", [](Plan& p) { p.inputs[0].dtype = static_cast<DType>(10); }},
      {"negative size", [](Plan& p) { p.tensors[3].shape[0] = -4; }},
      {"negative size", [](Plan& p) { p.tensors[3].strides[0] = -4; }},
      {"negative size", [](Plan& p) { p.tensors[3].offset = -1; }},
      {"strides for rank", [](Plan& p) { p.tensors[0].strides.pop_back(); }},
      {"no buffer 7", [](Plan& p) { p.tensors[0].buffer = 7; }},
      {"no buffer -1", [](Plan& p) { p.tensors[0].buffer = kNone; }},
      {"leave buffer", [](Plan& p) { p.tensors[3].offset = 1; }},
      {"leave buffer", [](Plan& p) { p.tensors[3].shape[0] = 5; }},
      {"leave buffer", [](Plan& p) { p.tensors[3].strides[0] = INT64_MAX; }},
      {"leave buffer", [](Plan& p) { p.tensors[6].dtype = DType::kI64; }},
      {"fits nothing", [](Plan& p) { p.buffers[3].size = 65; }},
      {"fits nothing", [](Plan& p) { p.buffers[3].size = Dim::symbol("n"); }},
      {"fits nothing", [](Plan& p) { p.buffers[3].index = 3; }},
      {"fits nothing", [](Plan& p) { p.buffers[6].size = 9; }},
      {"fits nothing", [](Plan& p) { p.buffers[2].index = 1; }},
      {"fits nothing", [](Plan& p) { p.buffers[0].kind = static_cast<BufferKind>(6); }},
      {"fits nothing", [](Plan& p) { p.buffers.push_back(p.buffers[0]); }},
      {"fits nothing", [](Plan& p) { p.buffers[0].kind = BufferKind::kState; }},
      {"lives from", [](Plan& p) { p.buffers[1].first_step = 1; }},
      {"lives from", [](Plan& p) { p.buffers[1].last_step = 0; }},
      {"lives from", [](Plan& p) { p.buffers[1].last_step = 2; }},
      {"lives from", [](Plan& p) { p.buffers[1].first_step = kNone; }},
      {"there is no tensor 7", [](Plan& p) { p.steps[0].inputs[0] = 7; }},
      {"there is no tensor -2", [](Plan& p) { p.steps[0].outputs[0] = -2; }},
      {"no kernel", [](Plan& p) { p.steps[0].kernel.clear(); }},
      {"may only be read", [](Plan& p) { p.steps[0].outputs[0] = 3; }},
      {"may only be read", [](Plan& p) { p.steps[0].outputs[0] = 6; }},
      {"may only be read", [](Plan& p) { p.steps[0].outputs[0] = 0; }},
      {"not its own", [](Plan& p) { p.inputs[0].buffer = 1; }},
      {"not its own", [](Plan& p) { p.inputs[0].buffer = kNone; }},
      {"not its own", [](Plan& p) { p.inputs[0].kind = InputKind::kConstant; }},
      {"unknown kind", [](Plan& p) { p.inputs[0].kind = static_cast<InputKind>(3); }},
      {"'m' is not declared",
       [](Plan& p) {
         p.inputs.push_back({InputKind::kNumber, "b", DType::kI64, {}, kNone, "m", ""});
       }},
      {"its tensor is", [](Plan& p) { p.outputs[0].dtype = DType::kI32; }},
      {"its tensor is", [](Plan& p) { p.outputs[0].shape[1] = 5; }},
      {"there is no tensor", [](Plan& p) { p.outputs[0].tensor = kNone; }},
      {"has memory", [](Plan& p) { p.outputs[0].kind = OutputKind::kNumber; }},
      {"unknown kind", [](Plan& p) { p.outputs[0].kind = static_cast<OutputKind>(3); }},
      {"lives to step",
       [](Plan& p) {
         p.steps.push_back(p.steps[0]), p.steps.back() = {"k", "", {}, {}, {}}, p.outputs[0].tensor = 1;
       }},
      {"fetched by rows",
       [](Plan& p) {
         p.outputs[0] = {OutputKind::kTensor, "z", DType::kF32, {4, 4}, 5, 0};
       }},
      {"bytes for shape", [](Plan& p) { p.literals[0].bytes.pop_back(); }},
      {"no window", [](Plan& p) { p.sources[0].strides[0] = -1; }},
      {"no window", [](Plan& p) { p.sources[0].offset = INT64_MAX; }},
      {"no window",
       [](Plan& p) {
         p.sources[0].strides = {INT64_MAX, INT64_MAX};
       }},
      {"ends at byte 64 of a storage of 63",
       [](Plan& p) {
         p.sources[0].mark = {Bytes{63}, 0};
       }},
      {"ends at byte 64 of a storage of -1",
       [](Plan& p) {
         p.sources[0].mark = {Bytes{-1}, 0};
       }},
      {"impossible shape",
       [](Plan& p) {
         p.weights[0].shape = {INT64_MAX, 4};
       }},
      {"resident", [](Plan& p) { p.weights[0].resident = {63}; }},
      {"bytes stored", [](Plan& p) { p.weights[0].stored = p.weights[0].resident = {60}; }},
      {"unknown encoding", [](Plan& p) { p.weights[0].encoding = static_cast<Encoding>(1); }},
      {"unknown use", [](Plan& p) { p.weights[0].use = static_cast<WeightUse>(2); }},
      {"no plain list of rows", [](Plan& p) { p.weights[2].recipe.clear(), p.weights[2].shape.clear(); }},
      {"there is no source", [](Plan& p) { p.weights[0].recipe[0].source = 1; }},
      {"recipe makes", [](Plan& p) { p.weights[0].shape = {16}; }},
      {"there is no group", [](Plan& p) { p.weights[0].group = 2; }},
      {"there is no group", [](Plan& p) { p.weights[0].group = kNone; }},
      {"there is no group", [](Plan& p) { p.groups.clear(); }},
      {"leave group", [](Plan& p) { p.weights[0].offset = {65}; }},
      {"leave group", [](Plan& p) { p.weights[0].offset = {-64}; }},
      {"leave group", [](Plan& p) { p.weights[0].offset = {INT64_MAX}; }},
      {"overlap", [](Plan& p) { p.weights[1].offset = {32}; }},
      {"alone", [](Plan& p) { p.weights[1].use = WeightUse::kRows; }},
      {"not aligned", [](Plan& p) { p.groups[1].offset = {4097}; }},
      {"not aligned", [](Plan& p) { p.groups[1].offset = {0}; }},
      {"not aligned", [](Plan& p) { p.groups[1].size = {-1}; }},
      {"impossible size", [](Plan& p) { p.groups[1].size = {INT64_MAX}; }},
  };
  for (const Damage& damage : damages) {
    Plan plan = small_plan();
    damage.make(plan);
    const Status status = verify(plan);
    EXPECT_EQ(status.code(), Code::kCorrupt) << damage.message;
    EXPECT_THAT(status.message(), HasSubstr(damage.message));
  }
}

TEST(GroupsByStep, NamesEachGroupThatIsReadWholeOnce) {
  EXPECT_THAT(groups_by_step(small_plan()), ElementsAre(ElementsAre(0), ElementsAre(0)));
  Plan plan = small_plan();
  plan.weights[2].use = WeightUse::kWhole;
  EXPECT_THAT(groups_by_step(plan), ElementsAre(ElementsAre(0, 1), ElementsAre(0)));
}

TEST(PlanText, ShowsEveryPart) {
  EXPECT_EQ(to_text(small_plan()), R"(plan for test (1)
symbol n: 1 .. 8, best at 2
input 'x' f32[n, 4] -> b0
output 'z' t2 f32[n, 4] b2
literal 0 f32[2]
group 0 at 0: 128 B
group 1 at 4096: 64 B, always resident
weight 0 'w0' f32[4, 4] 64 B, group 0 + 0; %0 = source 's' f32[4, 4]
weight 1 'w1' f32[4, 4] 64 B, group 0 + 64; %0 = source 's' f32[4, 4]
weight 2 'w2' f32[4, 4] 64 B, by rows, group 1 + 0; %0 = source 's' f32[4, 4]
b0 input 0, 16 * n bytes
b1 arena, steps 0 .. 1, 16 * n bytes
b2 output 0, 16 * n bytes
b3 weight 0, 64 bytes
b4 weight 1, 64 bytes
b5 weight 2, 64 bytes
b6 literal 0, 8 bytes
0 t1 f32[n, 4] b1 = k(t0 f32[n, 4] b0, t3 f32[4, 4] b3, t5 f32[4, 4] b5, -, t3 f32[4, 4] b3)  # first
1 t2 f32[n, 4] b2 = k(t1 f32[n, 4] b1, t4 f32[4, 4] b4, t6 f32[2] b6)  # second
)");
}

}  // namespace
}  // namespace headrace
