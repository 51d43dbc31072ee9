#include "kernels/cpu/pointwise_kernel.h"

#include "kernels/cpu/test_step.h"

namespace headrace::cpu {
namespace {

TestStep step(std::string program) {
  TestStep step(pointwise_kernels(), "pointwise");
  step.set("program", std::move(program));
  return step;
}

TEST(PointwiseKernel, AddsOverManyShapesAndDtypes) {
  const Sizes shapes[] = {{}, {1}, {7}, {0, 3}, {1024}, {1025}, {3, 2047}, {128, 3, 65}, {2, 3, 4, 5, 6}};
  for (const Sizes& shape : shapes) {
    for (const DType dtype :
         {DType::kF32, DType::kBF16, DType::kF16, DType::kF64, DType::kI32, DType::kI64, DType::kU8}) {
      const std::string name(dtype_name(dtype));
      TestStep add = step("(" + name + ", " + name + ") r2: " + name + " = add(r0, r1) -> r2");
      add.input(dense(dtype, shape)).input(dense(dtype, shape)).output(dense(dtype, shape));
      add.fill_random(0, 0, 50).fill_random(1, 0, 50);
      const Status status = add.run();
      ASSERT_TRUE(status.ok()) << status.message();
      add.expect(0, [&](const Sizes& at) { return add.in(0, at) + add.in(1, at); });
    }
  }
}

TEST(PointwiseKernel, FusesAChainWithABroadcastRowColumnAndScalar) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const int64_t width : {5, 64, 768, 1500}) {
      const std::string name(dtype_name(dtype));
      TestStep chain =
          step(fmt::format("({0}, {0}, {0}, {0}) r4: {0} = add(r0, r1); r5: {0} = mul(r4, r2); r6: {0} = "
                           "sub(r5, r3); r7: {0} = gelu(r6) -> r7",
                           name));
      const Sizes shape = {3, 9, width};
      chain.input(dense(dtype, shape))
          .input(dense(dtype, {width}))
          .input(dense(dtype, {9, 1}))
          .input(dense(dtype, {}));
      chain.output(dense(dtype, shape));
      for (size_t i = 0; i < 4; ++i) chain.fill_random(i, -2, 2);
      const Status status = chain.run();
      ASSERT_TRUE(status.ok()) << status.message();
      chain.expect(0, [&](const Sizes& at) {
        const double x = (chain.in(0, at) + chain.in(1, {at[2]})) * chain.in(2, {at[1], 0}) - chain.in(3, {});
        return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
      });
    }
  }
}

TEST(PointwiseKernel, ReadsAndWritesStridedWindows) {
  const Sizes shape = {4, 12, 33, 8};
  for (const std::vector<int>& perm :
       {std::vector<int>{0, 1, 2, 3}, {0, 2, 1, 3}, {3, 2, 1, 0}, {0, 2, 3, 1}}) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI64, DType::kBool}) {
      const std::string name(dtype_name(dtype));
      TestStep neg = step("(" + name + ", bool) r2: " + name + " = where(r1, r0, r0) -> r2");
      neg.input(laid_out(dtype, shape, perm)).input(dense(DType::kBool, {12, 1, 1}));
      StepTensor out = laid_out(dtype, shape, {0, 2, 1, 3});
      for (int64_t& stride : out.strides) stride *= 2;  // every other element
      out.offset = 5;
      neg.output(out);
      neg.fill_random(0, -20, 20).fill(1, [](const Sizes& at) { return at[0] % 2; });
      const Status status = neg.run();
      ASSERT_TRUE(status.ok()) << status.message();
      neg.expect(0, [&](const Sizes& at) { return neg.in(0, at); });
    }
  }
}

TEST(PointwiseKernel, StoresSeveralResultsOfSeveralDtypes) {
  TestStep two = step(
      "(f32, f32) r2: bool = lt(r0, r1); r3: f32 = where(r2, r0, r1); r4: bf16 = cast(r3) -> r2, r3, r4, r0");
  for (int i = 0; i < 2; ++i)
    two.input(dense(DType::kF32, {17, 131})).fill_random(static_cast<size_t>(i), -1, 1);
  two.output(dense(DType::kBool, {17, 131})).output(dense(DType::kF32, {17, 131}));
  two.output(dense(DType::kBF16, {17, 131})).output(dense(DType::kF32, {17, 131}));
  ASSERT_TRUE(two.run().ok());
  two.expect(0, [&](const Sizes& at) { return two.in(0, at) < two.in(1, at); });
  const auto least = [&](const Sizes& at) { return std::min(two.in(0, at), two.in(1, at)); };
  two.expect(1, least);
  two.expect(2, [&](const Sizes& at) { return rounded_to(DType::kBF16, least(at)); });
  two.expect(3, [&](const Sizes& at) { return two.in(0, at); });
}

TEST(PointwiseKernel, MayWriteOverItsInput) {
  TestStep step_in_place = step("(f32, f32) r2: f32 = mul(r0, r0); r3: f32 = add(r2, r0) -> r3");
  step_in_place.input(dense(DType::kF32, {3000}))
      .input(dense(DType::kF32, {3000}))
      .output(dense(DType::kF32, {3000}));
  step_in_place.fill_random(0, -1, 1).fill_random(1, -1, 1);
  std::vector<double> before;
  for (int64_t i = 0; i < 3000; ++i) before.push_back(step_in_place.in(0, {i}));
  step_in_place.shapes_.outputs[0].buffer = step_in_place.shapes_.inputs[0]->buffer;
  ASSERT_TRUE(step_in_place.run().ok());
  step_in_place.expect(0, [&](const Sizes& at) {
    const double x = before[static_cast<size_t>(at[0])];
    return x * x + x;
  });
}

TEST(PointwiseKernel, CastRoundsInTheMiddleOfAChain) {
  TestStep chain = step("(f32) r1: bf16 = cast(r0); r2: f32 = cast(r1); r3: f32 = sub(r0, r2) -> r3");
  chain.input(dense(DType::kF32, {100})).output(dense(DType::kF32, {100})).fill_random(0, -1, 1);
  ASSERT_TRUE(chain.run().ok());
  chain.expect(0,
               [&](const Sizes& at) { return chain.in(0, at) - rounded_to(DType::kBF16, chain.in(0, at)); });
}

TEST(PointwiseKernel, IntegersFollowPythonAndC) {
  struct Case {
    const char* name;
    int64_t (*of)(int64_t, int64_t);
  };
  const Case cases[] = {
      {"floor_div",
       [](int64_t a, int64_t b) { return static_cast<int64_t>(std::floor(double(a) / double(b))); }},
      {"trunc_div", [](int64_t a, int64_t b) { return a / b; }},
      {"fmod", [](int64_t a, int64_t b) { return a % b; }},
      {"remainder", [](int64_t a, int64_t b) { return ((a % b) + b) % b; }},
      {"shift_left",
       [](int64_t a, int64_t b) { return b < 0 ? 0 : static_cast<int64_t>(static_cast<int32_t>(a << b)); }},
      {"shift_right", [](int64_t a, int64_t b) { return b < 0 ? (a < 0 ? -1 : 0) : a >> b; }},
      {"maximum", [](int64_t a, int64_t b) { return std::max(a, b); }},
      {"bitwise_xor", [](int64_t a, int64_t b) { return a ^ b; }},
  };
  for (const Case& c : cases) {
    TestStep op = step(fmt::format("(i32, i32) r2: i32 = {}(r0, r1) -> r2", c.name));
    op.input(dense(DType::kI32, {21, 9})).input(dense(DType::kI32, {9})).output(dense(DType::kI32, {21, 9}));
    op.fill(0, [](const Sizes& at) { return double(at[0] - 10 + 3 * at[1]); });
    op.fill(1, [](const Sizes& at) { return at[0] < 4 ? double(at[0] - 4) : double(at[0] - 3); });  // never 0
    ASSERT_TRUE(op.run().ok()) << c.name;
    op.expect(
        0, [&](const Sizes& at) { return double(c.of(int64_t(op.in(0, at)), int64_t(op.in(1, {at[1]})))); });
  }
}

TEST(PointwiseKernel, SmallIntegersWrapBetweenInstructions) {
  TestStep wrap =
      step("(u8) r1: u8 = add(r0, r0); r2: u8 = shift_right(r1, r0); r3: bool = lt(r1, r0) -> r1, r2, r3");
  wrap.input(dense(DType::kU8, {1})).output(dense(DType::kU8, {1})).output(dense(DType::kU8, {1}));
  wrap.output(dense(DType::kBool, {1})).fill(0, [](const Sizes&) { return 200; });
  ASSERT_TRUE(wrap.run().ok());
  EXPECT_EQ(wrap.out(0, {0}), 144);
  EXPECT_EQ(wrap.out(2, {0}), 1);
}

TEST(PointwiseKernel, RefusesToDivideAnIntegerByZero) {
  TestStep divide = step("(i64, i64) r2: i64 = floor_div(r0, r1) -> r2");
  divide.input(dense(DType::kI64, {4})).input(dense(DType::kI64, {4})).output(dense(DType::kI64, {4}));
  const Status status = divide.run();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.message(), "'the step': an integer is divided by 0");
  divide.fill(0, [](const Sizes&) { return -9223372036854775808.0; }).fill(1, [](const Sizes&) {
    return -1;
  });
  EXPECT_TRUE(divide.run().ok());  // wraps, and does not trap
}

TEST(PointwiseKernel, GivesTheSameBytesOnMoreThreads) {
  TestStep chain = step("(bf16, bf16) r2: bf16 = mul(r0, r1); r3: bf16 = silu(r2) -> r3");
  chain.input(dense(DType::kBF16, {300, 700}))
      .input(dense(DType::kBF16, {700}))
      .output(dense(DType::kBF16, {300, 700}));
  chain.fill_random(0, -3, 3).fill_random(1, -3, 3);
  chain.expect_same_on_more_threads();
}

TEST(PointwiseKernel, RefusesMalformedSteps) {
  const auto refused = [](TestStep& step) { return step.run().code() == Code::kCorrupt; };
  TestStep no_program(pointwise_kernels(), "pointwise");
  EXPECT_TRUE(refused(no_program));
  TestStep count = step("(f32) r1: f32 = neg(r0) -> r1");
  count.output(dense(DType::kF32, {2}));
  EXPECT_TRUE(refused(count));
  TestStep dtype = step("(f32) r1: f32 = neg(r0) -> r1");
  dtype.input(dense(DType::kF16, {2})).output(dense(DType::kF32, {2}));
  EXPECT_TRUE(refused(dtype));
  TestStep shape = step("(f32) r1: f32 = neg(r0) -> r1");
  shape.input(dense(DType::kF32, {3})).output(dense(DType::kF32, {2}));
  EXPECT_TRUE(refused(shape));
  TestStep bits = step("(f32) r1: f32 = bitwise_not(r0) -> r1");
  bits.input(dense(DType::kF32, {2})).output(dense(DType::kF32, {2}));
  EXPECT_TRUE(refused(bits));
  TestStep shared = step("(f32) r1: f32 = neg(r0) -> r1");
  StepTensor out = dense(DType::kF32, {2});
  out.strides = {0};
  shared.input(dense(DType::kF32, {2})).output(out);
  EXPECT_TRUE(refused(shared));
  EXPECT_FALSE(computes(Pointwise::kExp, DType::kI64));
  EXPECT_TRUE(computes(Pointwise::kExp, DType::kF16));
}

}  // namespace
}  // namespace headrace::cpu
