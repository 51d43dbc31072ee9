#include <gtest/gtest.h>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/packing.h"

namespace headrace::cpu {
namespace {

std::shared_ptr<Plan> empty_plan() {
  auto plan = std::make_shared<Plan>();
  plan->backend = "cpu";
  plan->fingerprint = fingerprint();
  return plan;
}

TEST(CpuKernels, LoadAPlanOfThisMachine) { EXPECT_TRUE(make_kernels()->load(empty_plan()).ok()); }

TEST(CpuKernels, RefuseAPlanOfAnotherMachine) {
  const auto plan = empty_plan();
  plan->fingerprint = "cpu avx9 onednn 0.1";
  const auto loaded = make_kernels()->load(plan);
  EXPECT_EQ(loaded.status().code(), Code::kIncompatible);
  EXPECT_EQ(loaded.status().message(), "the engine was compiled for 'cpu avx9 onednn 0.1', and this is '" +
                                           fingerprint() + "'; compile the model again here");
}

TEST(CpuKernels, RefuseAPlanOfAnotherBackEnd) {
  const auto plan = empty_plan();
  plan->backend = "reference";
  EXPECT_EQ(make_kernels()->load(plan).status().code(), Code::kIncompatible);
}

TEST(CpuKernels, RefuseAStepOfAnUnknownKernel) {
  const auto plan = empty_plan();
  plan->steps.push_back({"fft", "the step", {}, {}, {}});
  const auto loaded = make_kernels()->load(plan);
  EXPECT_EQ(loaded.status().code(), Code::kCorrupt);
  EXPECT_NE(loaded.status().message().find("'fft'"), std::string::npos);
}

TEST(CpuKernels, RefuseATensorThatLeavesItsBuffer) {
  const auto plan = empty_plan();
  plan->buffers.push_back({BufferKind::kArena, Dim(64), kNone, 0, 0});
  plan->tensors.push_back({DType::kF32, {16}, {1}, Dim(0), 0});
  plan->tensors.push_back({DType::kF32, {16}, {1}, Dim(1), 0});
  plan->steps.push_back({"copy", "the step", {0}, {0}, {}});
  EXPECT_TRUE((*make_kernels()->load(plan))->prepare({}, 1).ok());
  plan->steps[0].inputs = {1};
  EXPECT_EQ((*make_kernels()->load(plan))->prepare({}, 1).status().code(), Code::kCorrupt);
}

RecipeStep pack_step(AttributeMap attributes, DType dtype, const Sizes& shape) {
  RecipeStep step;
  step.op = RecipeOp::kPack;
  step.dtype = dtype;
  step.shape = shape;
  step.attributes = std::move(attributes);
  return step;
}

TEST(Packing, ChoosesOneLayoutForEveryNumberOfRows) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    std::string first;
    for (const int64_t rows : {1, 2, 16, 128, 1000}) {
      RecipeStep step = pack_step(matmul_packing(rows, false), dtype, {256, 192});
      ASSERT_TRUE(make_packer()->choose(step).ok());
      if (first.empty()) first = step.attributes.text("blocks");
      EXPECT_EQ(step.attributes.text("blocks"), first) << rows;
    }
  }
}

TEST(Packing, GivesTheSameBytesEveryTime) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    RecipeStep step = pack_step(matmul_packing(4, true), dtype, {37, 53});
    ASSERT_TRUE(make_packer()->choose(step).ok());
    const std::vector<std::byte> plain(static_cast<size_t>(37 * 53 * dtype_size(dtype)), std::byte{0x3c});
    const auto size = static_cast<size_t>(make_packer()->packed_size(step).value().count);
    std::vector<std::byte> once(size, std::byte{1}), again(size, std::byte{2});
    ASSERT_TRUE(make_packer()->pack(step, plain, once).ok());
    ASSERT_TRUE(make_packer()->pack(step, plain, again).ok());
    EXPECT_EQ(once, again);
  }
}

TEST(Packing, RefusesWhatIsNotItsOwn) {
  const auto code = [](AttributeMap attributes, DType dtype, const Sizes& shape) {
    return make_packer()->packed_size(pack_step(std::move(attributes), dtype, shape)).status().code();
  };
  EXPECT_EQ(code({{"layout", std::string("cublas")}}, DType::kF32, {4, 4}), Code::kUnsupported);
  EXPECT_EQ(code(matmul_packing(4, false), DType::kF64, {4, 4}), Code::kUnsupported);
  EXPECT_EQ(code(matmul_packing(4, false), DType::kF32, {4}), Code::kCorrupt);
  EXPECT_EQ(code(matmul_packing(0, false), DType::kF32, {4, 4}), Code::kCorrupt);
  EXPECT_EQ(code(conv_packing({}, {1, 5, 8}), DType::kF32, {4, 3, 3}), Code::kCorrupt);
  RecipeStep step = pack_step(matmul_packing(4, false), DType::kF32, {4, 4});
  std::vector<std::byte> plain(64), out(64);
  EXPECT_EQ(make_packer()->pack(step, plain, out).code(), Code::kIncompatible) << "no blocks are chosen";
}

}  // namespace
}  // namespace headrace::cpu
