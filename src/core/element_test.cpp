#include "core/element.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace headrace {
namespace {

TEST(Element, KeepsWhatItsTypeHolds) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    for (const double value : {0.0, 1.0}) EXPECT_EQ(rounded_to(dtype, value), value) << dtype_name(dtype);
    if (!is_float(dtype) && !is_integer(dtype)) continue;
    EXPECT_EQ(rounded_to(dtype, 100), 100) << dtype_name(dtype);
    if (dtype == DType::kU8) continue;
    EXPECT_EQ(rounded_to(dtype, -100), -100) << dtype_name(dtype);
  }
}

TEST(Element, RoundsFloatsAndTruncatesIntegers) {
  EXPECT_EQ(rounded_to(DType::kBF16, 1.1), 1.1015625);
  EXPECT_EQ(rounded_to(DType::kF16, 1.1), 1.099609375);
  EXPECT_EQ(rounded_to(DType::kF32, 1.1), static_cast<double>(1.1f));
  EXPECT_EQ(rounded_to(DType::kF64, 1.1), 1.1);
  EXPECT_EQ(rounded_to(DType::kI32, -7.9), -7);
  EXPECT_EQ(rounded_to(DType::kBool, 0.5), 1);
}

TEST(Element, LiesAtAnyAddress) {
  std::byte memory[9] = {};
  store_element(DType::kF64, -2.5, memory + 1);
  EXPECT_EQ(load_element(DType::kF64, memory + 1), -2.5);
}

TEST(Element, KeepsInfinitiesAndNan) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32, DType::kF64}) {
    EXPECT_EQ(rounded_to(dtype, -infinity), -infinity);
    EXPECT_TRUE(std::isnan(rounded_to(dtype, std::nan(""))));
  }
}

}  // namespace
}  // namespace headrace
