#include <cstring>

#include <gtest/gtest.h>

#include "kernels/reference/reference_kernels.h"
#include "kernels/refused_plan.h"

namespace headrace::reference {
namespace {

template <class T>
HostTensor tensor(DType dtype, Sizes shape, std::vector<T> values) {
  HostTensor result{dtype, std::move(shape), std::vector<std::byte>(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(result.bytes.data(), values.data(), result.bytes.size());
  return result;
}

Status gather_from_three(int64_t index) {
  const HostTensor x = tensor<float>(DType::kF32, {3}, {1, 2, 3});
  const HostTensor indices = tensor<int64_t>(DType::kI64, {1}, {index});
  HostTensor out = tensor<float>(DType::kF32, {1}, {0});
  const HostTensor* inputs[] = {&x, &indices};
  return run_op("gather", {{"axis", int64_t{0}}}, inputs, {&out, 1});
}

TEST(RunOp, SaysWhichIndexIsOutOfRange) {
  EXPECT_TRUE(gather_from_three(-3).ok());
  EXPECT_EQ(gather_from_three(3).code(), Code::kInvalidArgument);
  EXPECT_EQ(gather_from_three(3).message(), "gather: index 3 is out of range for size 3");
  EXPECT_EQ(gather_from_three(-4).message(), "gather: index -4 is out of range for size 3");
}

TEST(RunOp, RefusesIntegerDivisionByZero) {
  const HostTensor x = tensor<int32_t>(DType::kI32, {2}, {4, 0});
  HostTensor out = tensor<int32_t>(DType::kI32, {2}, {0, 0});
  const HostTensor* inputs[] = {&x, &x};
  for (const char* op : {"floor_div", "trunc_div", "remainder", "fmod"}) {
    const Status status = run_op(op, {}, inputs, {&out, 1});
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << op;
    EXPECT_EQ(status.message(), std::string(op) + ": an integer is divided by zero");
  }
}

TEST(RunOp, RefusesShapesThatDoNotFit) {
  const HostTensor a = tensor<float>(DType::kF32, {2, 3}, std::vector<float>(6));
  const HostTensor b = tensor<float>(DType::kF32, {2, 3}, std::vector<float>(6));
  HostTensor out = tensor<float>(DType::kF32, {2, 3}, std::vector<float>(6));
  const HostTensor* inputs[] = {&a, &b};
  EXPECT_EQ(run_op("matmul", {}, inputs, {&out, 1}).message(), "matmul: matmul: the inner sizes differ");
  EXPECT_EQ(run_op("concat", {{"axis", int64_t{2}}}, inputs, {&out, 1}).code(), Code::kCorrupt);
  EXPECT_EQ(run_op("concat", {{"axis", int64_t{0}}}, inputs, {&out, 1}).code(), Code::kCorrupt);
  EXPECT_EQ(run_op("reshape", {}, {inputs, 0}, {&out, 1}).code(), Code::kCorrupt);
  EXPECT_EQ(run_op("no_such_op", {}, inputs, {&out, 1}).code(), Code::kCorrupt);
}

TEST(RunOp, DoesNothingForAnEmptyResult) {
  const HostTensor x = tensor<float>(DType::kF32, {0, 3}, {});
  HostTensor out = tensor<float>(DType::kF32, {0, 3}, {});
  const HostTensor* inputs[] = {&x};
  EXPECT_TRUE(run_op("exp", {}, inputs, {&out, 1}).ok());
}

TEST(Evaluator, ReadsALiteralInARecipe) {
  RecipeStep step{RecipeOp::kEval, {}, -1, DType::kI16, {2}, {{"kernel", std::string("literal")}}};
  step.attributes.set("hex", std::string("0100ffff"));
  const Result<HostTensor> made = make_evaluator()->evaluate(step, {});
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_EQ(made->bytes, tensor<int16_t>(DType::kI16, {2}, {1, -1}).bytes);
  step.attributes.set("hex", std::string("0100ff"));
  EXPECT_EQ(make_evaluator()->evaluate(step, {}).status().code(), Code::kCorrupt);
}

// A plan of one step: exp of a strided input.
std::shared_ptr<Plan> exp_plan(int64_t stride) {
  auto plan = std::make_shared<Plan>();
  plan->backend = "reference";
  plan->fingerprint = "reference 1";
  plan->buffers = {{BufferKind::kInput, 24, 0}, {BufferKind::kOutput, 12, 0}};
  plan->tensors = {{DType::kF32, {3}, {stride}, 0, 0}, {DType::kF32, {3}, {1}, 0, 1}};
  plan->steps = {{"exp", "node", {0}, {1}, {}}};
  return plan;
}

TEST(Kernels, RefuseAPlanOfAnotherFingerprint) {
  const auto plan = exp_plan(1);
  plan->fingerprint = "reference 0";
  EXPECT_EQ(make_kernels()->load(plan).status().code(), Code::kIncompatible);
}

TEST(Kernels, RefuseStepsThatAreNotTheirs) {
  const auto plan = exp_plan(1);
  plan->steps[0].kernel = "packed_gemm";
  EXPECT_EQ(make_kernels()->load(plan).status().message(),
            fmt::format("step 'node': the reference back end has no kernel 'packed_gemm'; {}", kRefusedPlan));
  plan->steps[0].kernel = "exp";
  plan->steps[0].inputs = {0, 0};
  EXPECT_EQ(make_kernels()->load(plan).status().code(), Code::kCorrupt);
}

TEST(Kernels, RefuseTensorsThatLeaveTheirBuffer) {
  EXPECT_TRUE((*make_kernels()->load(exp_plan(2)))->prepare({}, 1).ok());  // elements 0, 2 and 4 of 6
  EXPECT_EQ((*make_kernels()->load(exp_plan(3)))->prepare({}, 1).status().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace headrace::reference
