#include "kernels/cuda/library_support.h"

#include <gtest/gtest.h>

#include "kernels/cuda/fingerprint.h"

namespace headrace::cuda {
namespace {

const Dim kS = Dim::symbol("s0");

PlanTensor dense(DType dtype, Shape shape) {
  PlanTensor tensor;
  tensor.dtype = dtype;
  tensor.strides = row_major_strides(std::span<const Dim>(shape));
  tensor.shape = std::move(shape);
  return tensor;
}

struct Asked {
  AttributeMap attributes;
  std::vector<PlanTensor> inputs;
  PlanTensor output;

  template <class Takes>
  bool ask(const Takes& takes) const {
    std::vector<const PlanTensor*> pointers;
    for (const PlanTensor& input : inputs) pointers.push_back(input.shape.empty() ? nullptr : &input);
    return takes(attributes, pointers, output);
  }
  bool matmul() const { return ask(library_takes_matmul); }
  bool rounds_early() const { return ask(library_rounds_early); }
  bool conv() const { return ask(library_takes_conv); }
  bool attention(int sm = 90) const {
    return ask([&](const auto& attributes, const auto& pointers, const auto& output) {
      return library_takes_attention(attributes, pointers, output, sm);
    });
  }
};

Asked linear(DType dtype) {
  return {{{"transpose_b", true}},
          {dense(dtype, {1, kS, 64}), dense(dtype, {32, 64}), dense(dtype, {32}), dense(dtype, {1, kS, 32})},
          dense(dtype, {1, kS, 32})};
}

TEST(LibrarySupport, TakesProductsOfTheThreeFloats) {
  EXPECT_TRUE(linear(DType::kF16).matmul());
  EXPECT_TRUE(linear(DType::kBF16).matmul());
  EXPECT_TRUE(linear(DType::kF32).matmul());
  EXPECT_FALSE(linear(DType::kF64).matmul());
  EXPECT_FALSE(linear(DType::kI64).matmul());
}

TEST(LibrarySupport, TakesEpiloguesThatCublasHas) {
  Asked asked = linear(DType::kF16);
  for (const char* name : {"", "relu", "gelu_tanh"}) {
    asked.attributes.set("epilogue", std::string(name));
    EXPECT_TRUE(asked.matmul()) << name;
  }
  for (const char* name : {"gelu", "silu", "sigmoid"}) {
    asked.attributes.set("epilogue", std::string(name));
    EXPECT_FALSE(asked.matmul()) << name;
  }
  asked = linear(DType::kF32);
  asked.attributes.set("epilogue", std::string("gelu_tanh"));
  EXPECT_FALSE(asked.matmul());
}

TEST(LibrarySupport, KnowsProductsThatMayRoundBeforeTheirBias) {
  const auto product = [](DType dtype, const Dim& k, const Dim& n) -> Asked {
    return {{{"transpose_b", true}},
            {dense(dtype, {kS, k}), dense(dtype, {n, k}), dense(dtype, {n})},
            dense(dtype, {kS, n})};
  };
  EXPECT_FALSE(linear(DType::kBF16).rounds_early());  // rows of any number
  EXPECT_FALSE(product(DType::kBF16, 64, 24).rounds_early());
  EXPECT_TRUE(product(DType::kBF16, 33, 24).rounds_early());
  EXPECT_TRUE(product(DType::kF16, 60, 24).rounds_early());  // on 8 bytes
  EXPECT_TRUE(product(DType::kF16, 64, 20).rounds_early());
  EXPECT_TRUE(product(DType::kF16, kS, 24).rounds_early());
  EXPECT_FALSE(product(DType::kF16, kS * 8, 24).rounds_early());
  EXPECT_FALSE(product(DType::kF32, 33, 20).rounds_early());
  Asked plain = product(DType::kBF16, 33, 20);
  plain.inputs[2] = {};  // nothing is added
  EXPECT_FALSE(plain.rounds_early());
  plain.attributes.set("epilogue", std::string("relu"));
  EXPECT_FALSE(plain.rounds_early());
  plain.attributes.set("epilogue", std::string("gelu_tanh"));
  EXPECT_TRUE(plain.rounds_early());
  Asked shifted = product(DType::kF16, 64, 24);
  shifted.inputs[0].offset = 3;
  EXPECT_TRUE(shifted.rounds_early());
  Asked turned = product(DType::kF16, 64, 24);
  turned.attributes = {};
  turned.inputs[1] = dense(DType::kF16, {64, 24});
  EXPECT_FALSE(turned.rounds_early());
  turned.inputs[1] = dense(DType::kF16, {64, 20});
  EXPECT_TRUE(turned.rounds_early());
}

TEST(LibrarySupport, TakesOperandsThatAreMatrices) {
  Asked turned = linear(DType::kF16);
  turned.inputs[0].strides = {0, 1, kS};
  EXPECT_TRUE(turned.matmul());
  Asked window = linear(DType::kF16);
  window.inputs[0].strides = {kS * 192, 192, 1};
  EXPECT_TRUE(window.matmul());
  Asked gaps = linear(DType::kF16);
  gaps.inputs[0].strides = {kS * 128, 128, 2};
  EXPECT_FALSE(gaps.matmul());
  Asked broadcast = linear(DType::kF16);
  broadcast.inputs[0].strides = {0, 0, 1};
  EXPECT_FALSE(broadcast.matmul());
  Asked row = linear(DType::kF16);
  row.inputs[3] = dense(DType::kF16, {32});
  EXPECT_FALSE(row.matmul());
  Asked column_result = linear(DType::kF16);
  column_result.output.strides = {0, 1, kS};
  EXPECT_FALSE(column_result.matmul());  // for its bias and its residual
  column_result.inputs.resize(2);
  EXPECT_TRUE(column_result.matmul());
}

Asked conv(DType dtype) {
  return {{{"channels_last", true},
           {"epilogue", std::string("relu")},
           {"weight_channels_last", true},
           {"pad_low", std::vector<int64_t>{1, 1}},
           {"pad_high", std::vector<int64_t>{1, 1}}},
          {dense(dtype, {kS, 14, 14, 32}), dense(dtype, {16, 3, 3, 32}), dense(dtype, {16}),
           dense(dtype, {kS, 14, 14, 16})},
          dense(dtype, {kS, 14, 14, 16})};
}

TEST(LibrarySupport, TakesConvolutionsOfDenseTensors) {
  EXPECT_TRUE(conv(DType::kF16).conv());
  EXPECT_TRUE(conv(DType::kF32).conv());
  EXPECT_FALSE(conv(DType::kF64).conv());
  Asked window = conv(DType::kF16);
  window.output.strides = {kS * 0 + 14 * 14 * 48, 14 * 48, 48, 1};
  EXPECT_FALSE(window.conv());
  Asked uneven = conv(DType::kF16);
  uneven.attributes.set("pad_high", std::vector<int64_t>{2, 1});
  EXPECT_FALSE(uneven.conv());
  Asked transposed = conv(DType::kF16);
  transposed.attributes.set("transposed", true);
  EXPECT_FALSE(transposed.conv());
  Asked plain_weight = conv(DType::kF16);
  plain_weight.attributes.erase("weight_channels_last");
  EXPECT_FALSE(plain_weight.conv());
  Asked broadcast = conv(DType::kF16);
  broadcast.inputs[3] = dense(DType::kF16, {1, 1, 1, 16});
  EXPECT_FALSE(broadcast.conv());
}

TEST(LibrarySupport, TakesEndsOfConvolutionsThatCudnnIsKnownToHave) {
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    Asked asked = conv(dtype);
    EXPECT_TRUE(asked.conv());
    asked.attributes.erase("epilogue");
    EXPECT_FALSE(asked.conv());  // a residual and no function
    asked.attributes.set("epilogue", std::string("silu"));
    EXPECT_FALSE(asked.conv());
    asked.attributes.set("epilogue", std::string("relu"));
    asked.inputs[2] = {};
    EXPECT_FALSE(asked.conv());  // no bias
  }
  const auto narrow = [](DType dtype) {
    Asked asked = conv(dtype);
    asked.inputs = {dense(dtype, {kS, 14, 14, 32}), dense(dtype, {12, 3, 3, 32}), dense(dtype, {12})};
    asked.output = dense(dtype, {kS, 14, 14, 12});
    return asked;
  };
  EXPECT_FALSE(narrow(DType::kBF16).conv());
  EXPECT_TRUE(narrow(DType::kF32).conv());
  Asked bare = narrow(DType::kBF16);
  bare.attributes.erase("epilogue");
  EXPECT_TRUE(bare.conv());
}

Asked attention(DType dtype) {
  return {{},
          {dense(dtype, {1, 8, kS, 64}), dense(dtype, {1, 2, kS, 64}), dense(dtype, {1, 2, kS, 64})},
          dense(dtype, {1, 8, kS, 64})};
}

TEST(LibrarySupport, LeavesConvolutionsOfPlanesWithoutTheirEnds) {
  Asked planes = {{{"pad_low", Sizes{1, 1}}, {"pad_high", Sizes{1, 1}}},
                  {dense(DType::kF32, {kS, 8, 10, 10}), dense(DType::kF32, {16, 8, 3, 3})},
                  dense(DType::kF32, {kS, 16, 10, 10})};
  EXPECT_TRUE(planes.conv());
  planes.attributes.set("epilogue", std::string("relu"));
  EXPECT_FALSE(planes.conv());
  planes.attributes.erase("epilogue");
  planes.inputs.push_back(dense(DType::kF32, {16}));
  EXPECT_FALSE(planes.conv());
}

TEST(LibrarySupport, TakesAttentionOfHalvesInAlignedRows) {
  EXPECT_TRUE(attention(DType::kF16).attention());
  EXPECT_TRUE(attention(DType::kBF16).attention());
  EXPECT_FALSE(attention(DType::kF32).attention());
  Asked heads_last = attention(DType::kF16);
  heads_last.inputs[0].strides = {kS * 512, 64, 512, 1};
  EXPECT_TRUE(heads_last.attention());
  heads_last.inputs[0].offset = 4;
  EXPECT_FALSE(heads_last.attention());
  Asked odd = attention(DType::kF16);
  for (PlanTensor* tensor : {&odd.inputs[0], &odd.inputs[1], &odd.inputs[2], &odd.output})
    *tensor = dense(DType::kF16, {1, 8, kS, 20});
  EXPECT_FALSE(odd.attention());
  Asked wide = attention(DType::kF16);
  for (PlanTensor* tensor : {&wide.inputs[0], &wide.inputs[1], &wide.inputs[2], &wide.output})
    *tensor = dense(DType::kF16, {1, 8, kS, 256});
  EXPECT_TRUE(wide.attention(90));
  EXPECT_FALSE(wide.attention(80));
}

TEST(LibrarySupport, TakesMasksThatAreAddedAndSpelledOut) {
  Asked asked = attention(DType::kF16);
  asked.inputs.push_back(dense(DType::kBool, {1, 1, kS, kS}));
  EXPECT_FALSE(asked.attention());
  asked.inputs[3] = dense(DType::kF16, {1, 1, kS, kS});
  EXPECT_FALSE(asked.attention());  // its rows are aligned for some s0 alone
  const auto fixed = [](Shape mask) {
    Asked asked = attention(DType::kF16);
    for (PlanTensor* tensor : {&asked.inputs[0], &asked.inputs[1], &asked.inputs[2], &asked.output})
      *tensor = dense(DType::kF16, {1, 8, 128, 64});
    asked.inputs.push_back(dense(DType::kF16, std::move(mask)));
    return asked.attention();
  };
  EXPECT_TRUE(fixed({1, 1, 128, 128}));
  EXPECT_TRUE(fixed({128, 128}));
  EXPECT_FALSE(fixed({1, 1, 1, 128}));
}

TEST(LibrarySupport, ProvesMultiplesOfSumsAndProducts) {
  EXPECT_TRUE(is_multiple(kS * 24 + 8, 8));
  EXPECT_TRUE(is_multiple(kS * Dim::symbol("t") * 8, 8));
  EXPECT_FALSE(is_multiple(kS * 24 + 4, 8));
  EXPECT_FALSE(is_multiple(kS, 8));
}

TEST(Fingerprint, NamesTheTarget) {
  EXPECT_EQ(fingerprint(90), "cuda sm_90 cublasLt 13 cudnn 9 generated 4");
  EXPECT_EQ(parse_target("sm_86"), 86);
  for (const char* text : {"", "sm_", "sm_x", "sm_90a", "90", "sm_-1"})
    EXPECT_FALSE(parse_target(text).has_value()) << text;
}

}  // namespace
}  // namespace headrace::cuda
