#include "app/tuning.h"

#include <gtest/gtest.h>

namespace headrace::app {
namespace {

TEST(TuningMemory, IsAQuarterOfTheLimitWhereThatIsLess) {
  OpenOptions options;
  options.tune_within(gib(8));
  EXPECT_EQ(options.tuning_memory, mib(512));
  options.tune_within(gib(1));
  EXPECT_EQ(options.tuning_memory, mib(256));
  options.tune_within(Bytes{-1});
  EXPECT_EQ(options.tuning_memory, Bytes{});
  const auto tuning = make_tuning(options, false);
  ASSERT_TRUE(tuning.ok());
  EXPECT_EQ((*tuning)->memory(), Bytes{});
}

TEST(TuningMemory, IsRefusedBelowZero) {
  OpenOptions options;
  options.tuning_memory = Bytes{-1};
  EXPECT_EQ(make_tuning(options, false).status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace headrace::app
