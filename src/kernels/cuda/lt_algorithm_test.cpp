#include "kernels/cuda/lt_algorithm.h"

#include <gtest/gtest.h>

#include <iterator>

namespace headrace::cuda {
namespace {

TEST(LtAlgorithm, ComesBackFromItsText) {
  cublasLtMatmulAlgo_t algorithm = {};
  for (size_t i = 0; i < std::size(algorithm.data); ++i) algorithm.data[i] = 0x0123456789abcdef * (i + 1);
  auto again = parse_choice(choice_text(algorithm));
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(is_same(algorithm, *again));
  ++again->data[7];
  EXPECT_FALSE(is_same(algorithm, *again));
}

TEST(LtAlgorithm, IsNoneWhereTheTextIsNotEightNumbers) {
  for (const char* text : {"", "1 2 3", "1 2 3 4 5 6 7 8 9", "1 2 3 4 5 6 7 x"})
    EXPECT_FALSE(parse_choice(text).has_value()) << text;
}

}  // namespace
}  // namespace headrace::cuda
