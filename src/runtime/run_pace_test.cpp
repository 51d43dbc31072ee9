#include "runtime/run_pace.h"

#include <gtest/gtest.h>

namespace headrace::runtime {
namespace {

using Times = std::vector<int64_t>;

TEST(RunPace, TakesTheFirstThatIsMeasured) {
  RunPace pace;
  EXPECT_TRUE(follow(pace, {{10, 20, 30}, 0}));
  EXPECT_EQ(pace.step_ns, (Times{10, 20, 30}));
  EXPECT_EQ(pace.link_rate, 0);
  EXPECT_TRUE(follow(pace, {{10, 20, 30}, 500}));
  EXPECT_EQ(pace.link_rate, 500);
  EXPECT_FALSE(follow(pace, {{10, 20, 30}, 0}));  // by a context that measured none
  EXPECT_EQ(pace.link_rate, 500);
}

TEST(RunPace, LeavesNoiseAlone) {
  RunPace pace = {{100, 200, 300}, 1000};
  EXPECT_FALSE(follow(pace, {{120, 190, 320}, 1200}));
  EXPECT_EQ(pace.step_ns, (Times{100, 200, 300}));
  EXPECT_EQ(pace.link_rate, 1000);
}

TEST(RunPace, FollowsHowLongAllStepsTakeButKeepsTheirShares) {
  RunPace pace = {{100, 200, 300}, 1000};
  EXPECT_TRUE(follow(pace, {{220, 390, 590}, 1300}));
  EXPECT_EQ(pace.step_ns, (Times{200, 400, 600}));
  EXPECT_EQ(pace.link_rate, 1300);
}

TEST(RunPace, FollowsWhereStepsTakeAnotherShare) {
  RunPace pace = {{100, 200, 300}, 1000};
  follow(pace, {{300, 200, 100}, 1000});
  EXPECT_EQ(pace.step_ns, (Times{300, 200, 100}));
  follow(pace, {{0, 0, 0}, 1000});
  EXPECT_EQ(pace.step_ns, (Times{0, 0, 0}));
  follow(pace, {{1, 2, 3}, 1000});
  EXPECT_EQ(pace.step_ns, (Times{1, 2, 3}));
}

}  // namespace
}  // namespace headrace::runtime
