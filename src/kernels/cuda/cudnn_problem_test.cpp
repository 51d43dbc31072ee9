#include "kernels/cuda/cudnn_problem.h"

#include <gtest/gtest.h>

namespace headrace::cuda {
namespace {

StepTensor dense(DType dtype, Sizes shape) {
  StepTensor tensor;
  tensor.dtype = dtype;
  tensor.strides = row_major_strides(std::span<const int64_t>(shape));
  tensor.shape = std::move(shape);
  return tensor;
}

// A step of the plan that is described here.
struct TestForm : StepForm {
  Step described;
  Plan owner;
  TestForm(std::string kernel, AttributeMap attributes) {
    described.kernel = std::move(kernel);
    described.attributes = std::move(attributes);
    step = &described;
    plan = &owner;
  }
};

TEST(ConvProblem, OrdersChannelsAsTheyMeanAndStridesAsTheyLie) {
  TestForm step("conv", {{"channels_last", true},
                         {"weight_channels_last", true},
                         {"stride", Sizes{2, 1}},
                         {"dilation", Sizes{1, 2}},
                         {"pad_low", Sizes{1, 2}},
                         {"pad_high", Sizes{1, 2}},
                         {"epilogue", std::string("relu")}});
  step.inputs = {dense(DType::kF16, {2, 8, 9, 4}), dense(DType::kF16, {6, 3, 3, 4}), dense(DType::kF16, {6})};
  step.outputs = {dense(DType::kF16, {2, 4, 9, 6})};
  const auto form = ConvForm::make(step);
  ASSERT_TRUE(form.ok()) << form.status().message();
  const auto problem = ConvProblem::make(*form, true);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->x, (CudnnTensor{DType::kF16, {2, 4, 8, 9}, {288, 1, 36, 4}}));
  EXPECT_EQ(problem->w, (CudnnTensor{DType::kF16, {6, 4, 3, 3}, {36, 1, 12, 4}}));
  EXPECT_EQ(problem->y, (CudnnTensor{DType::kF16, {2, 6, 4, 9}, {216, 1, 54, 6}}));
  EXPECT_EQ(problem->stride, (Sizes{2, 1}));
  EXPECT_EQ(problem->dilation, (Sizes{1, 2}));
  EXPECT_EQ(problem->low, (Sizes{1, 2}));
  EXPECT_TRUE(problem->bias);
  EXPECT_FALSE(problem->residual);
  EXPECT_FALSE(problem->tf32);
}

TEST(ConvProblem, GivesOneSpatialDimASecond) {
  TestForm step("conv", {{"groups", int64_t{2}}, {"pad_low", Sizes{1}}, {"pad_high", Sizes{1}}});
  step.inputs = {dense(DType::kF32, {2, 4, 10}), dense(DType::kF32, {6, 2, 3})};
  step.outputs = {dense(DType::kF32, {2, 6, 10})};
  const auto form = ConvForm::make(step);
  ASSERT_TRUE(form.ok()) << form.status().message();
  const auto problem = ConvProblem::make(*form, true);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->x, (CudnnTensor{DType::kF32, {2, 4, 1, 10}, {40, 10, 10, 1}}));
  EXPECT_EQ(problem->w, (CudnnTensor{DType::kF32, {6, 2, 1, 3}, {6, 3, 3, 1}}));
  EXPECT_EQ(problem->low, (Sizes{0, 1}));
  EXPECT_EQ(problem->stride, (Sizes{1, 1}));
  EXPECT_TRUE(problem->tf32);
}

TEST(ConvProblem, RefusesWindowsAndUnevenPadding) {
  const auto make = [](StepTensor x, Sizes high) {
    TestForm step("conv", {{"channels_last", true},
                           {"weight_channels_last", true},
                           {"pad_low", Sizes{1, 1}},
                           {"pad_high", std::move(high)}});
    step.inputs = {std::move(x), dense(DType::kF16, {8, 3, 3, 4})};
    step.outputs = {dense(DType::kF16, {1, 8, 8, 8})};
    const auto form = ConvForm::make(step);
    return form.ok() && ConvProblem::make(*form, false).has_value();
  };
  EXPECT_TRUE(make(dense(DType::kF16, {1, 8, 8, 4}), {1, 1}));
  StepTensor window = dense(DType::kF16, {1, 8, 8, 8});
  window.shape.back() = 4;
  EXPECT_FALSE(make(window, {1, 1}));
  EXPECT_FALSE(make(dense(DType::kF16, {1, 7, 8, 4}), {2, 1}));
}

TEST(AttentionProblem, HasFourDimsAndStridesThatKeepRowsAligned) {
  TestForm step("attention", {{"scale", 0.5}, {"causal", true}});
  StepTensor q = dense(DType::kF16, {9, 3, 16});  // [S, H, D] seen as [H, S, D]
  std::swap(q.shape[0], q.shape[1]);
  std::swap(q.strides[0], q.strides[1]);
  step.inputs = {q, dense(DType::kF16, {1, 9, 16}), dense(DType::kF16, {1, 9, 16}),
                 dense(DType::kF16, {9, 16})};
  step.inputs[3]->shape = {9, 9};
  step.outputs = {dense(DType::kF16, {3, 9, 16})};
  const auto form = AttentionForm::make(step);
  ASSERT_TRUE(form.ok()) << form.status().message();
  const auto problem = AttentionProblem::make(*form);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->q, (CudnnTensor{DType::kF16, {1, 3, 9, 16}, {432, 16, 48, 1}}));
  EXPECT_EQ(problem->k, (CudnnTensor{DType::kF16, {1, 1, 9, 16}, {144, 144, 16, 1}}));
  ASSERT_TRUE(problem->mask.has_value());
  EXPECT_EQ(problem->mask->dims, (Sizes{1, 1, 9, 9}));
  EXPECT_EQ(problem->mask->strides, (Sizes{144, 144, 16, 1}));
  EXPECT_TRUE(problem->causal);
  EXPECT_NE(problem->key().find("causal true"), std::string::npos);
}

TEST(AttentionProblem, RefusesRowsOffTheirAlignment) {
  TestForm step("attention", {{"scale", 1.0}});
  for (int i = 0; i < 3; ++i) step.inputs.emplace_back(dense(DType::kF16, {1, 2, 5, 8}));
  step.outputs = {dense(DType::kF16, {1, 2, 5, 8})};
  const auto takes = [&] {
    const auto form = AttentionForm::make(step);
    return form.ok() && AttentionProblem::make(*form).has_value();
  };
  EXPECT_TRUE(takes());
  step.inputs[1]->strides[2] = 12;
  EXPECT_FALSE(takes());
  step.inputs[1]->strides = {0, 0, 8, 1};
  EXPECT_FALSE(takes());
}

}  // namespace
}  // namespace headrace::cuda
