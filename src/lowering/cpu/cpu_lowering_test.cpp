#include "lowering/cpu/cpu_lowering.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace headrace::cpu {
namespace {

Plan lower(std::string_view text) {
  Result<ir::Graph> graph = ir::parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  for (const auto& node : graph->nodes()) {
    const Support support = make_lowering()->supports(*node);
    EXPECT_TRUE(support.ok()) << *support.why_not;
  }
  Result<Plan> plan = make_lowering()->lower(*graph);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  EXPECT_TRUE(verify(*plan).ok()) << verify(*plan).message();
  return *std::move(plan);
}

std::vector<std::string> kernels(const Plan& plan) {
  std::vector<std::string> names;
  for (const Step& step : plan.steps) names.push_back(step.kernel);
  return names;
}
using Names = std::vector<std::string>;

TEST(CpuLowering, CopiesNothingAroundAttention) {
  const Plan plan = lower(R"(graph(%x: f32[2, 16, 24]) {
  @qkv: f32[72, 24] = weight("qkv", offset 0, strides [24, 1])
  @out: f32[24, 24] = weight("out", offset 0, strides [24, 1])
  %joined: f32[2, 16, 72] = matmul(%x, @qkv, _, _) {transpose_b = true}
  %parts: f32[2, 16, 3, 4, 6] = reshape(%joined) {shape = dims[2, 16, 3, 4, 6]}
  %turned: f32[3, 2, 4, 16, 6] = transpose(%parts) {perm = [2, 0, 3, 1, 4]}
  %q0: f32[1, 2, 4, 16, 6] = slice(%turned) {axis = 0, start = dim(0), stop = dim(1)}
  %k0: f32[1, 2, 4, 16, 6] = slice(%turned) {axis = 0, start = dim(1), stop = dim(2)}
  %v0: f32[1, 2, 4, 16, 6] = slice(%turned) {axis = 0, start = dim(2), stop = dim(3)}
  %q: f32[2, 4, 16, 6] = reshape(%q0) {shape = dims[2, 4, 16, 6]}
  %k: f32[2, 4, 16, 6] = reshape(%k0) {shape = dims[2, 4, 16, 6]}
  %v: f32[2, 4, 16, 6] = reshape(%v0) {shape = dims[2, 4, 16, 6]}
  %a: f32[2, 4, 16, 6] = attention(%q, %k, %v) {scale = 0.4}
  %b: f32[2, 16, 4, 6] = transpose(%a) {perm = [0, 2, 1, 3]}
  %c: f32[2, 16, 24] = reshape(%b) {shape = dims[2, 16, 24]}
  %y: f32[2, 16, 24] = matmul(%c, @out, _, _) {transpose_b = true}
  return %y as "y"
})");
  EXPECT_EQ(kernels(plan), (Names{"matmul", "attention", "matmul"}));
}

TEST(CpuLowering, WritesPiecesOfAConcatenationInPlace) {
  const Plan plan = lower(R"(graph(%x: f32[4, 8]) {
  %a: f32[4, 8] = relu(%x)
  %b: f32[4, 8] = tanh(%x)
  %y: f32[4, 24] = concat(%a, %x, %b) {axis = 1}
  return %y as "y"
})");
  EXPECT_EQ(kernels(plan), (Names{"pointwise", "pointwise", "copy"})) << "only the input is copied";
}

TEST(CpuLowering, CopiesAReshapeThatNoStridesDescribe) {
  const Plan plan = lower(R"(graph(%x: f32[4, 8]) {
  %t: f32[8, 4] = transpose(%x) {perm = [1, 0]}
  %y: f32[32] = reshape(%t) {shape = dims[32]}
  %z: f32[32] = relu(%y)
  return %z as "z"
})");
  EXPECT_EQ(kernels(plan), (Names{"copy", "pointwise"}));
}

TEST(CpuLowering, SplitsABigWeightIntoPanelsOfColumns) {
  for (const bool transposed : {false, true}) {
    const std::string shape = transposed ? "[30000, 256]" : "[256, 30000]";
    const Plan plan = lower("graph(%x: f32[s0, 256]) symbols(s0: 1 <= 4 <= 16) {\n  @w: f32" + shape +
                            " = weight(\"w\", offset 0, strides " + (transposed ? "[256, 1]" : "[30000, 1]") +
                            ")\n  @b: f32[30000] = weight(\"b\", offset 0, strides [1])\n"
                            "  %y: f32[s0, 30000] = matmul(%x, @w, @b) {transpose_b = " +
                            (transposed ? "true" : "false") + "}\n  return %y as \"y\"\n}");
    ASSERT_EQ(plan.steps.size(), 4u);
    int64_t columns = 0;
    for (const Step& step : plan.steps) {
      const PlanTensor& out = plan.tensors[static_cast<size_t>(step.outputs[0])];
      const PlanTensor& bias = plan.tensors[static_cast<size_t>(step.inputs[2])];
      EXPECT_EQ(out.offset, Dim(columns));
      EXPECT_EQ(bias.offset, Dim(columns));
      EXPECT_EQ(out.strides[0], Dim(30000));
      columns += out.shape[1].constant();
    }
    EXPECT_EQ(columns, 30000);
    for (const Weight& weight : plan.weights) EXPECT_LE(weight.stored, mib(9)) << weight.name;
  }
}

TEST(CpuLowering, StoresATiedEmbeddingByRowsAndPacked) {
  const Plan plan = lower(R"(graph(%ids: i64[1, 4]) {
  @w: f32[1000, 64] = weight("w", offset 0, strides [64, 1])
  %x: f32[1, 4, 64] = gather(@w, %ids) {axis = 0}
  %y: f32[1, 4, 1000] = matmul(%x, @w, _, _) {transpose_b = true}
  return %y as "y"
})");
  ASSERT_EQ(plan.weights.size(), 2u);
  EXPECT_EQ(plan.weights[0].use, WeightUse::kRows);
  EXPECT_EQ(plan.weights[1].use, WeightUse::kWhole);
  EXPECT_EQ(plan.weights[1].recipe.back().op, RecipeOp::kPack);
}

TEST(CpuLowering, KeepsATableWholeThatIsAlsoAResidual) {
  const Plan plan = lower(R"(graph(%ids: i64[1000]) {
  @w: f32[1000, 1000] = weight("w", offset 0, strides [1000, 1])
  %x: f32[1000, 1000] = gather(@w, %ids) {axis = 0}
  %y: f32[1000, 1000] = matmul(%x, @w, _, @w) {transpose_b = true}
  return %y as "y"
})");
  for (const Weight& weight : plan.weights) EXPECT_EQ(weight.use, WeightUse::kWhole) << weight.name;
}

TEST(CpuLowering, DoesNotSumBools) {
  Result<ir::Graph> graph = ir::parse(R"(graph(%x: bool[4, 8]) {
  %y = cumsum(%x) {axis = 1}
  return %y as "y"
})");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_FALSE(make_lowering()->supports(*graph->nodes().back()).ok());
}

TEST(CpuLowering, KeepsASmallTableWhole) {
  const Plan plan = lower(R"(graph(%ids: i64[4]) {
  @w: f32[2, 64] = weight("w", offset 0, strides [64, 1])
  %x: f32[4, 64] = gather(@w, %ids) {axis = 0}
  return %x as "x"
})");
  EXPECT_EQ(plan.weights.at(0).use, WeightUse::kWhole);
}

TEST(CpuLowering, SaysWhatItCannotDo) {
  Result<ir::Graph> graph = ir::parse(R"(graph(%x: f32[1, 2, 8], %w: f32[3, 2, s0]) symbols(s0: 1 <= 3 <= 5) {
  %y = conv(%x, %w)
  return %y as "y"
})");
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const Support support = make_lowering()->supports(*graph->nodes().back());
  EXPECT_EQ(support.why_not.value_or(""),
            "conv with a weight of sizes [3, 2, s0] that change is not supported");
}

TEST(CpuLowering, TellsKernelsOfAnotherMachineApart) {
  EXPECT_TRUE(make_lowering()->fingerprint().starts_with("cpu ")) << make_lowering()->fingerprint();
  EXPECT_NE(make_lowering()->fingerprint().find("onednn 3."), std::string::npos);
}

}  // namespace
}  // namespace headrace::cpu
