#include "kernels/cuda/tuner.h"

#include <gtest/gtest.h>

namespace headrace::cuda {
namespace {

TEST(TuningChoices, AreReadBackFromTheirText) {
  TuningChoices choices;
  choices.keep("matmul 3x4x5", "1 2f");
  choices.keep("conv [1, 2]", "eng3_k1=2");
  choices.keep("conv [1, 2]", "eng4");
  TuningChoices other;
  ASSERT_TRUE(other.read(choices.text()).ok());
  EXPECT_EQ(other.size(), 2u);
  EXPECT_EQ(other.find("conv [1, 2]"), "eng4");
  EXPECT_EQ(other.find("matmul 3x4x5"), "1 2f");
  EXPECT_EQ(other.find("matmul"), std::nullopt);
  EXPECT_EQ(other.text(), choices.text());
}

TEST(TuningChoices, AddNothingOfADamagedText) {
  TuningChoices choices;
  for (const char* text : {"a\tb\nno choice\n", "a\tb", "\n"}) {
    const Status status = choices.read(text);
    EXPECT_EQ(status.code(), Code::kCorrupt) << text;
    EXPECT_EQ(choices.size(), 0u);
  }
}

}  // namespace
}  // namespace headrace::cuda
