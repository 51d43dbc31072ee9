#include <headrace/tensor.h>

#include <gtest/gtest.h>

#include "runtime/strided_copy.h"

namespace headrace {
namespace {

TEST(Tensor, OwnsZeroedAlignedMemory) {
  auto tensor = Tensor::make(DType::kF32, {3, 4});
  ASSERT_TRUE(tensor.ok());
  EXPECT_EQ(tensor->size(), Bytes{48});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor->data()) % 64, 0u);
  EXPECT_TRUE(tensor->is_row_major());
  for (int i = 0; i < 12; ++i) EXPECT_EQ(tensor->as<float>()[i], 0.0f);
  const Tensor copy = *tensor;
  copy.as<float>()[5] = 1.0f;
  EXPECT_EQ(tensor->as<float>()[5], 1.0f);
}

TEST(Tensor, RefusesSizesThatCannotBe) {
  EXPECT_EQ(Tensor::make(DType::kF32, {2, -1}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Tensor::make(DType::kF64, {INT64_MAX, 2}).status().code(), Code::kExhausted);
  EXPECT_TRUE(Tensor::make(DType::kF64, {INT64_MAX, 0}).ok());
}

TEST(Tensor, KnowsWhatIsRowMajor) {
  float memory[24] = {};
  EXPECT_TRUE(Tensor::borrow(memory, DType::kF32, {2, 3}, {3, 1}).is_row_major());
  EXPECT_FALSE(Tensor::borrow(memory, DType::kF32, {2, 3}, {1, 2}).is_row_major());
  EXPECT_TRUE(Tensor::borrow(memory, DType::kF32, {1, 3}, {77, 1}).is_row_major());  // one row has no stride
  EXPECT_TRUE(Tensor::borrow(memory, DType::kF32, {0, 3}, {5, 5}).is_row_major());
  EXPECT_TRUE(Tensor::borrow(memory, DType::kF32, {}).is_row_major());
}

TEST(StridedCopy, MakesDenseAndBack) {
  int16_t source[24];
  for (int16_t i = 0; i < 24; ++i) source[i] = i;
  const Tensor transposed = Tensor::borrow(source, DType::kI16, {4, 2, 3}, {1, 12, 4});
  int16_t dense[24] = {}, back[24] = {};
  runtime::copy_to_dense(transposed, reinterpret_cast<std::byte*>(dense));
  EXPECT_EQ(dense[0 * 6 + 0 * 3 + 1], 4);
  EXPECT_EQ(dense[3 * 6 + 1 * 3 + 2], 3 + 12 + 8);
  runtime::copy_from_dense(reinterpret_cast<const std::byte*>(dense),
                           Tensor::borrow(back, DType::kI16, {4, 2, 3}, {1, 12, 4}));
  EXPECT_TRUE(std::equal(source, source + 24, back));
}

}  // namespace
}  // namespace headrace
