#include "kernels/cpu/test_step.h"

namespace headrace::cpu {
namespace {

TestStep step(std::string kernel) { return TestStep(move_kernels(), std::move(kernel)); }

TEST(MoveKernels, CopyAnyLayoutToAnyLayout) {
  const std::vector<int> layouts[] = {{0, 1, 2, 3}, {0, 2, 1, 3}, {3, 2, 1, 0},
                                      {0, 1, 3, 2}, {1, 0, 3, 2}, {0, 2, 3, 1}};
  for (const Sizes& shape :
       {Sizes{2, 3, 37, 65}, Sizes{1, 128, 12, 64}, Sizes{5, 1, 33, 1}, Sizes{2, 0, 3, 4}}) {
    for (const std::vector<int>& from : layouts) {
      for (const std::vector<int>& to : layouts) {
        for (const DType dtype : {DType::kU8, DType::kF16, DType::kF32, DType::kI64}) {
          if (shape[1] == 128 && dtype != DType::kF32) continue;
          TestStep copy = step("copy");
          StepTensor window = laid_out(dtype, shape, to);
          window.offset = 3;
          copy.input(laid_out(dtype, shape, from)).output(window);
          double next = 0;
          copy.fill(0, [&](const Sizes&) { return double(int64_t(next++) % 128); });
          ASSERT_TRUE(copy.run().ok());
          copy.expect(0, [&](const Sizes& at) { return copy.in(0, at); });
        }
      }
    }
  }
}

TEST(MoveKernels, CopyBroadcastsAndStepsOver) {
  TestStep copy = step("copy");
  StepTensor from = dense(DType::kF32, {4, 40});
  from.shape[1] = 20;
  from.strides[1] = 2;  // a slice by steps of 2
  copy.input(from).output(dense(DType::kF32, {3, 4, 20})).fill_random(0, -1, 1);
  ASSERT_TRUE(copy.run().ok());
  copy.expect(0, [&](const Sizes& at) { return copy.in(0, {at[1], at[2]}); });
  TestStep scalar = step("copy");
  scalar.input(dense(DType::kI64, {})).output(dense(DType::kI64, {7, 9})).fill(0, [](const Sizes&) {
    return 42;
  });
  ASSERT_TRUE(scalar.run().ok());
  scalar.expect(0, [](const Sizes&) { return 42; });
}

TEST(MoveKernels, CopyGivesTheSameBytesOnMoreThreads) {
  for (const std::vector<int>& layout : {std::vector<int>{0, 1}, {1, 0}}) {
    TestStep copy = step("copy");
    copy.input(dense(DType::kF32, {1024, 1024}))
        .output(laid_out(DType::kF32, {1024, 1024}, layout))
        .fill_random(0, -1, 1);
    copy.expect_same_on_more_threads();
    copy.expect(0, [&](const Sizes& at) { return copy.in(0, at); });
  }
}

TEST(MoveKernels, PadSurroundsWithAValue) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI32, DType::kBool}) {
    TestStep pad = step("pad");
    pad.set("low", std::vector<int64_t>{1, 0, 2})
        .set("high", std::vector<int64_t>{0, 3, 1})
        .set("value", -1.5);
    pad.input(laid_out(dtype, {2, 3, 4}, {2, 1, 0})).output(dense(dtype, {3, 6, 7})).fill_random(0, -9, 9);
    ASSERT_TRUE(pad.run().ok());
    const double value = rounded_to(dtype, -1.5);
    pad.expect(0, [&](const Sizes& at) {
      const bool inside = at[0] >= 1 && at[1] < 3 && at[2] >= 2 && at[2] < 6;
      return inside ? pad.in(0, {at[0] - 1, at[1], at[2] - 2}) : value;
    });
  }
}

TEST(MoveKernels, FillIotaAndDimValueMakeElements) {
  TestStep fill = step("fill");
  fill.set("value", -INFINITY).output(laid_out(DType::kF16, {3, 50}, {1, 0}));
  ASSERT_TRUE(fill.run().ok());
  fill.expect(0, [](const Sizes&) { return -INFINITY; });

  TestStep iota = step("iota");
  iota.set("start", Dim::symbol("s0") - Dim(2)).set("count", Dim(5)).set("step", int64_t{-3});
  iota.shapes_.dims = {{"s0", 12}};
  iota.output(dense(DType::kI64, {5}));
  ASSERT_TRUE(iota.run().ok());
  iota.expect(0, [](const Sizes& at) { return double(10 - 3 * at[0]); });

  TestStep value = step("dim_value");
  value.set("value", Dim::symbol("s0") * Dim(1 << 20)).output(dense(DType::kI64, {}));
  value.shapes_.dims = {{"s0", int64_t{1} << 35}};
  ASSERT_TRUE(value.run().ok());
  value.expect(0, [](const Sizes&) { return double(int64_t{1} << 55); });
}

TEST(MoveKernels, RefuseMalformedSteps) {
  TestStep dtype = step("copy");
  dtype.input(dense(DType::kF32, {2})).output(dense(DType::kF64, {2}));
  EXPECT_EQ(dtype.run().code(), Code::kCorrupt);
  TestStep negative = step("copy");
  StepTensor backwards = dense(DType::kF32, {2});
  backwards.offset = 1;
  backwards.strides = {-1};
  negative.input(backwards).output(dense(DType::kF32, {2}));
  EXPECT_EQ(negative.run().code(), Code::kCorrupt);
  TestStep pad = step("pad");
  pad.set("low", std::vector<int64_t>{-1}).set("high", std::vector<int64_t>{1});
  pad.input(dense(DType::kF32, {2})).output(dense(DType::kF32, {2}));
  EXPECT_EQ(pad.run().code(), Code::kCorrupt);
  TestStep iota = step("iota");
  iota.output(dense(DType::kI64, {2}));
  EXPECT_EQ(iota.run().code(), Code::kCorrupt);
  TestStep huge = step("copy");
  StepTensor repeated = dense(DType::kU8, {1});
  huge.input(repeated).output(dense(DType::kU8, {1}));
  for (StepTensor* tensor : {&*huge.shapes_.inputs[0], &huge.shapes_.outputs[0]}) {
    tensor->shape = {int64_t{1} << 40, int64_t{1} << 40};
    tensor->strides = {0, 0};
  }
  EXPECT_EQ(huge.run().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace headrace::cpu
