#include "runtime/replanner.h"

#include <gtest/gtest.h>

#include "runtime/testing.h"

namespace headrace::runtime {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kMibAMs = 1'048'576'000;  // a rate
constexpr Bytes kNoLimit = {INT64_MAX};

class Replanning : public ::testing::Test {
 protected:
  Replanning()
      : planner_(testing::embedding_and_pairs().plan, RowAccess::kWhole, kReadAlignment, Ahead::kOfThisRun) {}
  RunPace pace(int64_t step_ns, int64_t rate = kMibAMs) const {
    RunPace pace = {std::vector<int64_t>(static_cast<size_t>(planner_.steps()), step_ns), rate};
    pace.step_ns.back() = 0;  // delivers
    return pace;
  }
  const Replanner::Better* look(Bytes room = kNoLimit) {
    return replanner_.look(planner_, {resident_, mib(12), room});
  }

  const WeightPlanner planner_;
  Replanner replanner_;
  // As planned without a link: by how often they are read; and what does not hold the first step up.
  const std::vector<bool> small_ = {false, true, true, true, false},
                          large_ = {true, false, false, false, false};
  std::vector<bool> resident_ = small_;
};

TEST_F(Replanning, FindsWhatIsBetterOnceTimesAndLinkAreMeasured) {
  EXPECT_EQ(look(), nullptr);
  replanner_.follow(pace(4 * kMs, 0));
  EXPECT_EQ(look(), nullptr);
  replanner_.follow(pace(4 * kMs));
  const Replanner::Better* const better = look();
  ASSERT_NE(better, nullptr);
  EXPECT_EQ(better->set, large_);
  EXPECT_EQ(better->run_ns, 48 * kMs);
  EXPECT_EQ(look(), better);  // until it is done
  replanner_.moved();
  EXPECT_EQ(look(), nullptr);
}

TEST_F(Replanning, LeavesAloneWhatGainsLessThanAHundredth) {
  // The large weight holds a run up by 12 ms, whatever the steps take.
  replanner_.follow(pace(132 * kMs));
  EXPECT_EQ(look(), nullptr);
  replanner_.follow(pace(132 * kMs));
  EXPECT_EQ(look(), nullptr);
  replanner_.follow(pace(80 * kMs));
  EXPECT_NE(look(), nullptr);
}

TEST_F(Replanning, LooksOnceForEachChange) {
  resident_ = large_;
  replanner_.follow(pace(4 * kMs));
  EXPECT_EQ(look(), nullptr);
  resident_ = small_;  // would be found worse
  EXPECT_EQ(look(), nullptr);
  replanner_.follow(pace(4 * kMs + kMs / 2));  // noise
  EXPECT_EQ(look(), nullptr);
  replanner_.follow(pace(6 * kMs));
  EXPECT_NE(look(), nullptr);
}

TEST_F(Replanning, LooksAgainWhereTheBudgetChangedMeanwhile) {
  replanner_.follow(pace(4 * kMs));
  ASSERT_NE(look(), nullptr);
  EXPECT_EQ(replanner_.look(planner_, {resident_, mib(11), kNoLimit}), nullptr);
  replanner_.follow(pace(6 * kMs));
  ASSERT_NE(look(), nullptr);
  replanner_.planned();
  EXPECT_EQ(look(), nullptr);
}

TEST_F(Replanning, PassesMoreLooksFromMoveToMove) {
  std::vector<int> looks;
  for (int move = 0; move < 5; ++move) {
    replanner_.follow(pace(move % 2 ? 4 * kMs : 6 * kMs));
    looks.push_back(1);
    while (!look()) ++looks.back();
    replanner_.moved();
  }
  EXPECT_EQ(looks, (std::vector<int>{1, 1, 2, 3, 5}));
}

TEST_F(Replanning, StaysInsideALimit) {
  resident_ = {false, false, false, false, false};
  const Bytes enough = planner_.resident(large_) + planner_.least(large_);
  ASSERT_LT(planner_.least(resident_), enough);
  replanner_.follow(pace(4 * kMs));
  EXPECT_EQ(look(planner_.least(resident_)), nullptr);
  replanner_.follow(pace(6 * kMs));
  EXPECT_EQ(look(planner_.least(resident_) - mib(1)), nullptr);  // what is resident does not fit either
  replanner_.follow(pace(4 * kMs));
  EXPECT_NE(look(enough + mib(8)), nullptr);
}

}  // namespace
}  // namespace headrace::runtime
