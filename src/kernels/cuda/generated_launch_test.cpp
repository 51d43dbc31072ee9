#include "kernels/cuda/generated_launch.h"

#include <gtest/gtest.h>

#include "kernels/cuda/generated_step.h"
#include "kernels/refused_plan.h"

namespace headrace::cuda {
namespace {

GeneratedOperand dense(DType dtype, Sizes shape) {
  return {dtype, shape, row_major_strides(std::span<const int64_t>(shape))};
}
using Operands = std::vector<std::optional<GeneratedOperand>>;
constexpr int kMultiprocessors = 132;

Result<GeneratedLaunches> plan(AttributeMap attributes, std::string_view rule, const Operands& operands,
                               size_t outputs = 1) {
  attributes.set(kRule, std::string(rule));
  return plan_launches(attributes, "y", operands, outputs, {{"s0", 6}}, kMultiprocessors);
}
Sizes sizes(const GeneratedLaunch& launch) {
  return {launch.head.sizes, launch.head.sizes + launch.head.rank};
}
Sizes strides(const GeneratedLaunch& launch, size_t k) {
  return {launch.tensors[k].strides, launch.tensors[k].strides + launch.head.rank};
}

const AttributeMap kWide = {{std::string(kWidth), int64_t{8}}};

TEST(GeneratedLaunch, JoinsDimensionsOfDenseTensorsIntoOne) {
  const auto x = dense(DType::kF16, {4, 1, 6, 16});
  const auto launches = plan(kWide, kElementsRule, {x, x});
  ASSERT_TRUE(launches.ok()) << launches.status().message();
  EXPECT_EQ(sizes(launches->scalar), (Sizes{384}));
  ASSERT_TRUE(launches->vector);
  EXPECT_EQ(sizes(*launches->vector), (Sizes{48}));
  EXPECT_EQ(strides(*launches->vector, 0), (Sizes{8}));
  EXPECT_EQ(launches->alignment, (std::vector<size_t>{16, 16}));
}

TEST(GeneratedLaunch, KeepsABroadcastOperandApart) {
  const auto x = dense(DType::kF16, {4, 6, 16});
  const auto launches = plan(kWide, kElementsRule, {x, dense(DType::kF16, {16}), x});
  ASSERT_TRUE(launches.ok()) << launches.status().message();
  EXPECT_EQ(sizes(launches->scalar), (Sizes{24, 16}));
  EXPECT_EQ(strides(launches->scalar, 1), (Sizes{0, 1}));
  ASSERT_TRUE(launches->vector);
  EXPECT_EQ(sizes(*launches->vector), (Sizes{24, 2}));
}

TEST(GeneratedLaunch, WalksInTheOrderOfTheResultsMemory) {
  const GeneratedOperand turned = {DType::kF32, {3, 5}, {1, 3}};
  const auto launches = plan({}, kElementsRule, {dense(DType::kF32, {3, 5}), turned});
  ASSERT_TRUE(launches.ok()) << launches.status().message();
  EXPECT_EQ(strides(launches->scalar, 1), (Sizes{3, 1}));
  EXPECT_EQ(strides(launches->scalar, 0), (Sizes{1, 5}));
  EXPECT_FALSE(launches->vector);
}

TEST(GeneratedLaunch, TakesNoVectorsWhereRowsDoNotDivide) {
  const GeneratedOperand window = {DType::kF16, {4, 16}, {20, 1}};
  EXPECT_FALSE(plan(kWide, kElementsRule, {window, dense(DType::kF16, {4, 16})})->vector);
  EXPECT_FALSE(plan(kWide, kElementsRule, {dense(DType::kF16, {3, 5}), dense(DType::kF16, {3, 5})})->vector);
}

TEST(GeneratedLaunch, TakesNoVectorsAlongIndices) {
  AttributeMap attributes = kWide;
  attributes.set(kUniform, Sizes{1});
  const auto x = dense(DType::kF16, {4, 16});
  EXPECT_FALSE(plan(attributes, kElementsRule, {x, dense(DType::kI64, {4, 16}), x})->vector);
  EXPECT_TRUE(plan(attributes, kElementsRule, {x, dense(DType::kI64, {4, 1}), x})->vector);
}

TEST(GeneratedLaunch, TilesTheFastestDimensionsOfBoth) {
  const GeneratedOperand x = {DType::kF32, {2, 100, 70}, {7000, 1, 100}};
  const auto launches = plan({}, kTilesRule, {x, dense(DType::kF32, {2, 100, 70})});
  ASSERT_TRUE(launches.ok()) << launches.status().message();
  const GeneratedHead& head = launches->scalar.head;
  EXPECT_EQ(head.sizes[head.numbers[0]], 70);
  EXPECT_EQ(head.sizes[head.numbers[1]], 100);
  EXPECT_EQ(head.rows, 2);
  EXPECT_EQ(launches->scalar.grid[0], 2u * 4u * 3u);
}

TEST(GeneratedLaunch, PartsRowsFromColumns) {
  const AttributeMap attributes = {{std::string(kOuter), int64_t{2}},
                                   {std::string(kThreads), Sizes{128, 1}},
                                   {std::string(kRowsPerBlock), int64_t{4}},
                                   {std::string(kWidth), int64_t{8}}};
  const auto x = dense(DType::kF16, {3, 5, 64});
  const auto launches = plan(attributes, kRowsRule, {x, dense(DType::kF16, {64}), std::nullopt, x});
  ASSERT_TRUE(launches.ok()) << launches.status().message();
  EXPECT_EQ(launches->scalar.head.rows, 15);
  EXPECT_EQ(launches->scalar.head.columns, 64);
  EXPECT_EQ(launches->scalar.head.outer, 1);
  EXPECT_EQ(launches->scalar.grid[0], 4u);
  EXPECT_TRUE(launches->vector);
  EXPECT_EQ(launches->alignment, (std::vector<size_t>{16, 16, 1, 16}));
}

TEST(GeneratedLaunch, TakesNeighbouringRowsInVectors) {
  const AttributeMap attributes = {{std::string(kOuter), int64_t{2}},
                                   {std::string(kThreads), Sizes{32, 8}},
                                   {std::string(kRowsPerBlock), int64_t{32}},
                                   {std::string(kRowWidth), int64_t{8}}};
  const auto images = [](int64_t channels) -> Operands {
    return {GeneratedOperand{DType::kF16, {100, channels, 49}, {49 * channels, 1, channels}},
            GeneratedOperand{DType::kF32, {100, channels, 1}, {channels, 1, 0}}};
  };
  const auto launches = plan(attributes, kRowsRule, images(512));
  ASSERT_TRUE(launches.ok()) << launches.status().message();
  EXPECT_EQ(launches->scalar.head.rows, 51200);
  ASSERT_TRUE(launches->vector);
  EXPECT_EQ(launches->vector->head.rows, 6400);
  EXPECT_EQ(launches->vector->head.columns, 49);
  EXPECT_EQ(launches->vector->grid[0], 200u);
  EXPECT_EQ(strides(*launches->vector, 0), (Sizes{25088, 8, 512}));
  EXPECT_EQ(launches->alignment, (std::vector<size_t>{16, 16}));
  EXPECT_FALSE(plan(attributes, kRowsRule, images(20))->vector);
}

TEST(GeneratedLaunch, CountsEachResultInTilesOfAThread) {
  AttributeMap attributes = kWide;
  attributes.set(kVectors, Sizes{0, 1});
  attributes.set(kPerThread, Sizes{1, 2, 3, 1});
  const auto x = dense(DType::kF16, {4, 9, 9, 16}), y = dense(DType::kF16, {4, 5, 4, 16});
  const auto launches = plan(attributes, kEachRule, {x, y});
  ASSERT_TRUE(launches.ok()) << launches.status().message();
  EXPECT_EQ(sizes(launches->scalar), (Sizes{4, 3, 2, 16}));
  ASSERT_TRUE(launches->vector);
  EXPECT_EQ(sizes(*launches->vector), (Sizes{4, 3, 2, 2}));
  EXPECT_EQ(launches->vector->head.elements, 48);
  EXPECT_EQ(strides(*launches->vector, 1), (Sizes{320, 64, 16, 1}));
  for (const Sizes& wrong : {Sizes{2, 2}, Sizes{1, 0, 1, 1}, Sizes{1, -1, 1, 1}}) {
    attributes.set(kPerThread, wrong);
    EXPECT_EQ(plan(attributes, kEachRule, {x, y}).status().message(),
              fmt::format("step 'y': its tiles are not described; {}", kRefusedPlan));
  }
}

TEST(GeneratedLaunch, EvaluatesNumbersAndBlocks) {
  const AttributeMap attributes = {{std::string(kNumbers), std::vector<Dim>{Dim::symbol("s0") * 2}},
                                   {std::string(kBlocks), Dim::symbol("s0") + 1},
                                   {std::string(kThreads), Sizes{16, 16}}};
  const auto launches = plan(attributes, kGridRule, {dense(DType::kF32, {6})});
  ASSERT_TRUE(launches.ok()) << launches.status().message();
  EXPECT_EQ(launches->scalar.head.numbers[0], 12);
  EXPECT_EQ(launches->scalar.grid[0], 7u);
}

TEST(GeneratedLaunch, KeepsBlocksThatStayToThoseOfTheDevice) {
  AttributeMap attributes = {{std::string(kBlocks), Dim(int64_t{1} << 20)},
                             {std::string(kThreads), Sizes{16, 16}},
                             {std::string(kShared), int64_t{100'000}}};
  const auto x = dense(DType::kF32, {6});
  EXPECT_EQ(plan(attributes, kGridRule, {x})->scalar.grid[0], 1u << 20);
  attributes.set(kStaying, int64_t{2});
  EXPECT_EQ(plan(attributes, kGridRule, {x})->scalar.grid[0], 2u * kMultiprocessors);
  EXPECT_EQ(plan(attributes, kGridRule, {x})->scalar.shared, 100'000u);
  attributes.set(kStaying, int64_t{-1});
  EXPECT_EQ(plan(attributes, kGridRule, {x}).status().message(),
            fmt::format("step 'y': -1 blocks that stay; {}", kRefusedPlan));
  attributes.set(kShared, int64_t{1} << 40);
  EXPECT_EQ(plan(attributes, kGridRule, {x}).status().message(),
            fmt::format("step 'y': {} bytes of shared memory; {}", int64_t{1} << 40, kRefusedPlan));
}

TEST(GeneratedLaunch, RefusesWhatDescribesNoLaunch) {
  const auto x = dense(DType::kF32, {2, 3});
  EXPECT_EQ(plan({}, "spiral", {x}).status().message(),
            fmt::format("step 'y': a launch by the rule 'spiral'; {}", kRefusedPlan));
  EXPECT_EQ(plan({}, kElementsRule, {std::nullopt}).status().code(), Code::kCorrupt);
  EXPECT_EQ(plan({}, kRowsRule, {x, x}).status().code(), Code::kCorrupt);
  EXPECT_EQ(plan({}, kTilesRule, {x}).status().code(), Code::kCorrupt);
  EXPECT_EQ(plan({}, kElementsRule, {dense(DType::kF32, {4}), x}).status().message(),
            fmt::format("step 'y': an operand of sizes [4] does not broadcast to [2, 3]; {}", kRefusedPlan));
}

TEST(GeneratedLaunch, RefusesSizesBeyondItsIndices) {
  const auto x = dense(DType::kI8, {int64_t{1} << 20, int64_t{1} << 12});
  EXPECT_EQ(plan({}, kElementsRule, {x, x}).status().code(), Code::kUnsupported);
  EXPECT_TRUE(plan({{std::string(kIndexBits), int64_t{64}}}, kElementsRule, {x, x}).ok());
}

TEST(GeneratedLaunch, SaysThatTheMaximumOfNothingDoesNotExist) {
  const AttributeMap attributes = {{std::string(kOuter), int64_t{1}},
                                   {std::string(kThreads), Sizes{128, 1}},
                                   {std::string(kRowsPerBlock), int64_t{4}},
                                   {std::string(kNotEmpty), std::string("max")}};
  const auto launches = plan(attributes, kRowsRule, {dense(DType::kF32, {3, 0}), dense(DType::kF32, {3, 1})});
  EXPECT_EQ(launches.status().message(), "y: the max of no elements does not exist");
}

TEST(GeneratedCode, UnpacksWhatWasPacked) {
  const std::vector<std::vector<std::byte>> binaries = {{std::byte{1}, std::byte{2}}, {}, {std::byte{3}}};
  std::vector<std::byte> code = pack_code(binaries);
  const auto parts = unpack_code(code);
  ASSERT_TRUE(parts);
  ASSERT_EQ(parts->size(), 3u);
  EXPECT_EQ((*parts)[0].size(), 2u);
  EXPECT_EQ((*parts)[2][0], std::byte{3});
  for (size_t size = 0; size < code.size(); ++size)
    EXPECT_FALSE(unpack_code(std::span(code).first(size))) << size;
}

}  // namespace
}  // namespace headrace::cuda
