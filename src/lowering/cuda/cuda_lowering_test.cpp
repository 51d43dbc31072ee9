#include "lowering/cuda/cuda_lowering.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/cuda/generated_step.h"
#include "lowering/cuda/graph_lowering.h"
#include "lowering/cuda/nvrtc.h"

namespace headrace::cuda {
namespace {

struct Lowered {
  Plan plan;
  KernelSources sources;
};

Lowered lower(std::string_view text, const Target& target = {.sm = 90}) {
  Lowered lowered;
  Result<ir::Graph> graph = ir::parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  const auto lowering = make_lowering("sm_90");
  for (const auto& node : graph->nodes()) {
    const Support support = (*lowering)->supports(*node);
    EXPECT_TRUE(support.ok()) << *support.why_not;
  }
  Result<Plan> plan = lower_graph(*graph, target, lowered.sources);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  lowered.plan = *std::move(plan);
  EXPECT_TRUE(verify(lowered.plan).ok()) << verify(lowered.plan).message();
  return lowered;
}

// The families of the plan's generated kernels; names of other steps.
std::vector<std::string> families(const Plan& plan) {
  std::vector<std::string> names;
  for (const Step& step : plan.steps) {
    std::string name = step.attributes.text(kFunction);
    if (step.kernel == kGenerated) name = name.substr(3, name.rfind('_') - 3);
    names.push_back(step.kernel == kGenerated ? name : step.kernel);
  }
  return names;
}
using Names = std::vector<std::string>;

std::string last_function(const Lowered& lowered) {
  const std::string text = lowered.sources.programs().at(0);
  return text.substr(text.rfind("struct hr_"));
}

Names conv_steps(std::string_view dtype, std::string_view operands, std::string_view attributes) {
  const Lowered lowered = lower(
      fmt::format("graph(%x: {0}[2, 6, 6, 8], %w: {0}[8, 8, 3, 3], %b: {0}[8], %r: {0}[2, 4, 4, 8]) {{\n"
                  "  %y = conv({1}) {{channels_last = true{2}}}\n  return %y as \"y\"\n}}",
                  dtype, operands, attributes));
  const auto binaries = compile_programs(lowered.sources.programs(), "sm_90");
  EXPECT_TRUE(binaries.ok()) << binaries.status().message();
  return families(lowered.plan);
}

TEST(CudaLowering, EndsAConvolutionApartWhereCudnnDoesNotEndIt) {
  for (const std::string_view dtype : {"f16", "f32"}) {
    const std::string_view relu = ", epilogue = \"relu\"", silu = ", epilogue = \"silu\"";
    const Names turned = conv_steps(dtype, "%x, %w", "");
    Names apart = turned;
    apart.push_back("ending");
    EXPECT_EQ(turned.back(), "conv");
    EXPECT_EQ(conv_steps(dtype, "%x, %w, %b, %r", relu), turned);
    EXPECT_EQ(conv_steps(dtype, "%x, %w, _, %r", relu), apart);
    EXPECT_EQ(conv_steps(dtype, "%x, %w, %b", silu), apart);
    EXPECT_EQ(conv_steps(dtype, "%x, %w, %b, %r", silu), apart);
  }
}

Names planes_steps(std::string_view dtype, std::string_view operands, std::string_view padding) {
  const Lowered lowered = lower(
      fmt::format("graph(%x: {0}[2, 3, 6, 6], %w: {0}[8, 3, 3, 3], %b: {0}[8], %r: {0}[2, 8, 6, 6]) {{\n"
                  "  %y = conv({1}) {{{2}}}\n  return %y as \"y\"\n}}",
                  dtype, operands, padding));
  Names names = families(lowered.plan);
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == "conv" && !lowered.plan.steps[i].attributes.flag("channels_last"))
      names[i] = "conv of planes";
  return names;
}

TEST(CudaLowering, GivesCudnnPlanesWhereItHasNoTensorCoresToUse) {
  const std::string_view even = "pad_low = [1, 1], pad_high = [1, 1]",
                         uneven = "pad_low = [0, 2], pad_high = [2, 0]";
  EXPECT_EQ(planes_steps("f32", "%x, %w", even), (Names{"conv of planes"}));
  EXPECT_EQ(planes_steps("f32", "%x, %w, %b, %r", even), (Names{"conv of planes", "ending"}));
  EXPECT_EQ(planes_steps("f32", "%x, %w, %b", uneven), (Names{"pad", "conv of planes", "ending"}));
  EXPECT_EQ(planes_steps("f16", "%x, %w", even), (Names{"pad", "pad", "conv", "copy"}));
  for (const bool tf32 : {false, true}) {
    const auto lowering = make_lowering("sm_90", {.allow_tf32 = tf32});
    ASSERT_TRUE(lowering.ok());
    EXPECT_EQ((*lowering)->preferences().planes,
              tf32 ? std::vector<DType>{} : std::vector<DType>{DType::kF32});
  }
}

constexpr std::string_view kChain = R"(graph(%x: f16[s0, 64], %y: f16[64]) symbols(s0: 1 <= 8 <= 512) {
  %half: f32[] = literal(0.5)
  %z: f16[s0, 64] = pointwise(%x, %y, %half) {program = "(f16, f16, f32) r3: f32 = cast(r0); r4: f32 = mul(r3, r2); r5: f16 = cast(r4); r6: f16 = add(r5, r1) -> r6"}
  return %z as "z"
})";

Names linear_steps(std::string_view dtype, int k, std::string_view operands, std::string_view attributes) {
  const Lowered lowered = lower(fmt::format(
      "graph(%x: {0}[s0, {1}], %w: {0}[24, {1}], %b: {0}[24], %r: {0}[s0, 24]) symbols(s0: 1 <= 8 <= 64) "
      "{{\n  %y = matmul({2}) {{transpose_b = true{3}}}\n  return %y as \"y\"\n}}",
      dtype, k, operands, attributes));
  const auto binaries = compile_programs(lowered.sources.programs(), "sm_90");
  EXPECT_TRUE(binaries.ok()) << binaries.status().message();
  const bool wide = lowered.plan.tensors[lowered.plan.steps[0].outputs[0]].dtype == DType::kF32;
  Names names = families(lowered.plan);
  if (wide) names[0] += " in f32";
  return names;
}

TEST(CudaLowering, EndsAProductApartWhereItMightBeRoundedBefore) {
  const Names whole = {"matmul"}, apart = {"matmul in f32", "ending"};
  EXPECT_EQ(linear_steps("bf16", 64, "%x, %w, %b", ""), whole);
  EXPECT_EQ(linear_steps("bf16", 33, "%x, %w, %b", ""), apart);
  EXPECT_EQ(linear_steps("f16", 33, "%x, %w, %b, %r", ", epilogue = \"relu\""), apart);
  EXPECT_EQ(linear_steps("f16", 33, "%x, %w, %b", ", epilogue = \"gelu\""), apart);
  EXPECT_EQ(linear_steps("f16", 33, "%x, %w", ", epilogue = \"gelu_tanh\""), apart);
  EXPECT_EQ(linear_steps("bf16", 33, "%x, %w, _, %r", ""), whole);
  EXPECT_EQ(linear_steps("bf16", 33, "%x, %w", ", epilogue = \"relu\""), whole);
}

TEST(CudaLowering, WritesAChainAsOneKernelWithItsConstants) {
  const Lowered lowered = lower(kChain);
  EXPECT_EQ(families(lowered.plan), (Names{"pointwise"}));
  EXPECT_EQ(lowered.plan.steps[0].inputs.size(), 2u) << "the literal is in the kernel";
  const std::string text = last_function(lowered);
  for (const std::string_view line :
       {"load<f16, V>(x1, args.tensors[1], at[1], (args.head.dense >> 1) & 1u);",
        "const float r2 = round_to<f32>(static_cast<float>(bits_to_double(0x3fe0000000000000ULL)));",
        "const float r3 = round_to<f32>(r0);\nconst float r4 = fn_mul(r3, r2);\nconst float r5 = "
        "round_to<f16>(r4);\nconst float r6 = fn_add(r5, r1);\ny0[i] = r6;",
        "store<f16, V>(args.tensors[2], at[2], y0);", "_body, 8, unsigned>(args);"})
    EXPECT_NE(text.find(line), std::string::npos) << line << "\nin\n" << text;
}

TEST(CudaLowering, WritesEachDistinctKernelOnce) {
  const Lowered lowered = lower(R"(graph(%x: f16[2, 64], %y: f16[4, 64]) {
  %a: f16[2, 64] = softmax(%x) {axis = 1}
  %b: f16[4, 64] = softmax(%y) {axis = 1}
  return %a as "a", %b as "b"
})");
  ASSERT_EQ(lowered.plan.steps.size(), 2u);
  EXPECT_EQ(lowered.plan.steps[0].attributes.text(kFunction),
            lowered.plan.steps[1].attributes.text(kFunction));
}

TEST(CudaLowering, CountsIn64BitsWhereTheProfileNeedsIt) {
  const auto text = [](std::string_view most) {
    return fmt::format(
        "graph(%x: f16[s0, 64]) symbols(s0: 1 <= 8 <= {}) {{\n  %y = relu(%x)\n  return %y as \"y\"\n}}",
        most);
  };
  EXPECT_EQ(lower(text("1000")).plan.steps[0].attributes.integer(kIndexBits), 32);
  EXPECT_EQ(lower(text("1000000000")).plan.steps[0].attributes.integer(kIndexBits), 64);
}

TEST(CudaLowering, TurnsThroughTilesAndCopiesOtherwise) {
  EXPECT_EQ(families(lower(R"(graph(%x: f32[64, 32]) {
  %t: f32[32, 64] = transpose(%x) {perm = [1, 0]}
  %y: f32[2048] = reshape(%t) {shape = dims[2048]}
  return %y as "y"
})")
                         .plan),
            (Names{"transpose"}));
  EXPECT_EQ(families(lower(R"(graph(%x: f32[4, 8]) {
  %a: f32[4, 8] = relu(%x)
  %y: f32[4, 16] = concat(%a, %x) {axis = 1}
  return %y as "y"
})")
                         .plan),
            (Names{"relu", "copy"}));
}

// How many results a thread of a pool's kernel makes, by dimension; the kernel compiles for every target.
Sizes pool_tile(std::string_view op, std::string_view dtype, std::string_view sizes,
                std::string_view window) {
  const Lowered lowered = lower(fmt::format(
      "graph(%x: {}[{}]) {{\n  %y = {}(%x) {{{}}}\n  return %y as \"y\"\n}}", dtype, sizes, op, window));
  for (const std::string_view target : targets()) {
    const auto binaries = compile_programs(lowered.sources.programs(), target);
    EXPECT_TRUE(binaries.ok()) << target << ": " << binaries.status().message();
  }
  return lowered.plan.steps.at(0).attributes.integers(kPerThread);
}

TEST(CudaLowering, HasThreadsMakeTilesOfPoolsThatAreLarge) {
  const std::string_view three =
      "kernel = [3, 3], stride = [2, 2], pad_low = [1, 1], pad_high = [1, 1], channels_last = true";
  const std::string_view seven = "kernel = [7, 7], stride = [1, 1], pad_low = [3, 3], pad_high = [3, 3]";
  const Sizes tile = {1, 2, 2, 1};
  for (const std::string_view dtype : {"f32", "f16", "bf16"}) {
    EXPECT_EQ(pool_tile("max_pool", dtype, "100, 112, 112, 64", three), tile) << dtype;
    EXPECT_EQ(pool_tile("max_pool", dtype, "1, 112, 112, 64", three), (Sizes{1, 1, 1, 1})) << dtype;
  }
  EXPECT_EQ(pool_tile("avg_pool", "f16", "100, 112, 112, 64", three), tile);
  EXPECT_EQ(pool_tile("max_pool", "f32", "100, 64, 56, 56", seven), (Sizes{1, 1, 2, 2}));
  EXPECT_EQ(pool_tile("max_pool", "u8", "100, 64, 56, 56",
                      "kernel = [9, 8], stride = [1, 1], pad_low = [4, 4], pad_high = [4, 4]"),
            (Sizes{1, 1, 1, 1}))
      << "too much to keep in registers";
  EXPECT_EQ(pool_tile("max_pool", "f32", "100, 64, 4096",
                      "kernel = [2], stride = [2], pad_low = [0], pad_high = [0]"),
            (Sizes{1, 1, 2}));
}

// The steps of a first convolution, whose kernels compile for the target.
Names first_conv_steps(std::string_view dtype, int batch, int outputs, const Target& target) {
  const Lowered lowered = lower(
      fmt::format(
          "graph(%x: {0}[{1}, 3, 224, 224], %b: {0}[{2}]) {{\n  @w: {0}[{2}, 3, 7, 7] = weight(\"w\", "
          "offset 0, strides [147, 49, 7, 1])\n"
          "  %t = transpose(%x) {{perm = [0, 2, 3, 1]}}\n  %y = conv(%t, @w, %b) {{channels_last = true, "
          "stride = [2, 2], pad_low = [3, 3], pad_high = [3, 3]}}\n  return %y as \"y\"\n}}",
          dtype, batch, outputs),
      target);
  const auto binaries = compile_programs(lowered.sources.programs(), fmt::format("sm_{}", target.sm));
  EXPECT_TRUE(binaries.ok()) << target.sm << ": " << binaries.status().message();
  return families(lowered.plan);
}

TEST(CudaLowering, FoldsTheCellsOfLargeFirstConvolutions) {
  const Names padded = {"pad", "conv"}, folded = {"fold", "conv"}, whole = {"image_conv"};
  for (const std::string_view dtype : {"f32", "f16", "bf16"})
    for (const int sm : {80, 86, 89, 90}) {
      EXPECT_EQ(first_conv_steps(dtype, 1, 64, {.sm = sm}), padded);
      const bool tensor_cores = sm == 90 && dtype != "f32";
      EXPECT_EQ(first_conv_steps(dtype, 100, 64, {.sm = sm}), tensor_cores ? whole : folded);
    }
  EXPECT_EQ(first_conv_steps("f32", 100, 64, {.sm = 90, .tf32 = true}), whole);
  EXPECT_EQ(first_conv_steps("f16", 100, 128, {.sm = 90}), whole);
  EXPECT_EQ(first_conv_steps("f16", 100, 48, {.sm = 90}), folded) << "not whole groups of 32 outputs";
  EXPECT_EQ(first_conv_steps("f32", 100, 128, {.sm = 90, .tf32 = true}), folded)
      << "too much for shared memory";
}

TEST(CudaLowering, CompilesForEveryTarget) {
  for (const std::string_view target : targets()) {
    Result<ir::Graph> graph = ir::parse(kChain);
    ASSERT_TRUE(graph.ok());
    const auto lowering = make_lowering(target);
    ASSERT_TRUE(lowering.ok());
    const Result<Plan> plan = (*lowering)->lower(*graph), again = (*lowering)->lower(*graph);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    const auto binaries = unpack_code(plan->code);
    ASSERT_TRUE(binaries);
    ASSERT_EQ(binaries->size(), 1u);
    EXPECT_EQ(static_cast<char>((*binaries)[0][1]), 'E') << "of an ELF file";
    EXPECT_EQ(plan->code, again->code) << "the same bytes each time";
    EXPECT_NE((*lowering)->fingerprint().find(target), std::string::npos);
  }
}

TEST(CudaLowering, NamesTheTargetsThatThereAre) {
  EXPECT_EQ(make_lowering("sm_20").status().message(),
            "there is no CUDA target 'sm_20'; there are sm_80, sm_86, sm_89, sm_90");
}

std::string why_not(std::string_view text) {
  Result<ir::Graph> graph = ir::parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  return (*make_lowering("sm_90"))->supports(*graph->nodes().back()).why_not.value_or("");
}

TEST(CudaLowering, SaysWhatItCannotDo) {
  EXPECT_EQ(why_not("graph(%x: bool[4, 8]) {\n  %y = cumsum(%x) {axis = 1}\n  return %y as \"y\"\n}"),
            "cumsum of bool is not supported; numbers are");
  EXPECT_EQ(
      why_not("graph(%x: f32[1, 2, 8], %w: f32[3, 2, s0]) symbols(s0: 1 <= 3 <= 5) {\n  %y = conv(%x, %w)\n"
              "  return %y as \"y\"\n}"),
      "conv with a window of sizes [3, 2, s0] that change is not supported");
  EXPECT_EQ(why_not("graph(%x: f32[1, 1, 1, 1, 1, 1, 1, 1, 2]) {\n  %y = neg(%x)\n  return %y as \"y\"\n}"),
            "a tensor of 9 dimensions is not supported; 8 are");
  EXPECT_EQ(why_not("graph(%q: f16[1, 4, 2, s0], %k: f16[1, 4, 3, s0]) symbols(s0: 1 <= 3 <= 5) {\n"
                    "  %y = attention(%q, %k, %k) {scale = 1.0}\n  return %y as \"y\"\n}"),
            "attention with heads of size s0 is not supported; constant sizes of 1 to 1024 are");
}

TEST(Nvrtc, TellsWhatTheCompilerDidNotLike) {
  const std::string programs[] = {"extern \"C\" __global__ void f() { nonsense; }"};
  const auto binaries = compile_programs(programs, "sm_90");
  ASSERT_FALSE(binaries.ok());
  EXPECT_NE(binaries.status().message().find("identifier \"nonsense\" is undefined"), std::string::npos)
      << binaries.status().message();
}

}  // namespace
}  // namespace headrace::cuda
