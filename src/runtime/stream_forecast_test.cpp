#include "runtime/stream_forecast.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <random>

namespace headrace::runtime {
namespace {

constexpr int64_t kByteAns = 1'000'000'000;  // the rate that brings a byte in a nanosecond

GroupUse group_of(int64_t size, std::vector<StepIndex> steps) {
  return {{size}, true, false, std::move(steps)};
}

// Two groups side by side from the start, and one that takes the place of the first.
struct ByHand {
  std::vector<GroupUse> groups = {group_of(100, {0}), group_of(50, {1}), group_of(30, {2})};
  StreamSchedule schedule;
  RunPace pace = {{10, 20, 30, 40}, kByteAns};
  ByHand() {
    schedule.loads = {{0, {0}, kNone, 0, 0, 2}, {1, {100}, kNone, 1, 1, 1}, {2, {0}, 0, 2, 2, 0}};
    schedule.step_loads = {0, 1, 2, 3, 3};
  }
};

TEST(StreamForecast, FollowsCopiesAndStepsOfARun) {
  // Copies: 0 to 100, to 150, to 180. Steps: 100 to 110, 150 to 170, 180 to 210, to 250.
  const ByHand hand;
  const StreamForecast forecast = forecast_run(hand.schedule, hand.groups, hand.pace, Ahead::kOfThisRun);
  EXPECT_EQ(forecast.run_ns, 250);
  EXPECT_EQ(forecast.wait_ns, 150);
}

TEST(StreamForecast, WaitsForThePlaceThatACopyTakes) {
  // The first step is long. Copies: 0 to 100, to 150; 300 to 330. Steps: 100 to 300, to 320, 330 to 360, to
  // 400.
  ByHand hand;
  hand.pace.step_ns[0] = 200;
  const StreamForecast forecast = forecast_run(hand.schedule, hand.groups, hand.pace, Ahead::kOfThisRun);
  EXPECT_EQ(forecast.run_ns, 400);
  EXPECT_EQ(forecast.wait_ns, 110);
}

TEST(StreamForecast, LetsTheNextRunsHeadTakePlacesThatAreFree) {
  // Each run but the first of eight finds its first copy begun when step 2 of the former was over, 40 before
  // its end. Copies: -40 to 60, to 110, to 140. Steps: 60 to 70, 110 to 130, 140 to 170, to 210.
  const ByHand hand;
  const StreamForecast forecast = forecast_run(hand.schedule, hand.groups, hand.pace, Ahead::kOfTheNextToo);
  EXPECT_EQ(forecast.run_ns, (250 + 7 * 210) / 8);
}

TEST(StreamForecast, IsTheStepsTimeWhereNothingStreams) {
  ByHand hand;
  hand.schedule.loads.clear();
  hand.schedule.step_loads.assign(5, 0);
  for (const Ahead ahead : {Ahead::kOfThisRun, Ahead::kOfTheNextToo}) {
    const StreamForecast forecast = forecast_run(hand.schedule, hand.groups, hand.pace, ahead);
    EXPECT_EQ(forecast.run_ns, 100);
    EXPECT_EQ(forecast.wait_ns, 0);
  }
}

TEST(StreamForecast, IsNeverBelowItsStepsAndItsCopiesAndNeverSlowerOverAFasterLink) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    const auto up_to = [&](uint64_t most) { return static_cast<int64_t>(random() % (most + 1)); };
    const auto steps = static_cast<StepIndex>(1 + up_to(30));
    std::vector<GroupUse> groups;
    for (int64_t i = up_to(25); i >= 0; --i) {
      groups.push_back(group_of(4096 * up_to(i % 3 ? 100 : 6000), {}));
      for (StepIndex step = 0; step < steps; ++step) {
        if (random() % 6 == 0) groups.back().steps.push_back(step);
      }
    }
    RunPace pace;
    for (StepIndex step = 0; step < steps; ++step) pace.step_ns.push_back(up_to(3) ? up_to(2'000'000) : 0);
    const int64_t steps_ns = std::accumulate(pace.step_ns.begin(), pace.step_ns.end(), int64_t{0});
    const Bytes total = streamable_bytes(groups);
    const auto resident =
        choose_resident(groups, {up_to(static_cast<uint64_t>(total.count))}, {.step_ns = pace.step_ns});
    const StreamSchedule schedule = schedule_streams(groups, resident, steps);
    for (const Ahead ahead : {Ahead::kOfThisRun, Ahead::kOfTheNextToo}) {
      int64_t slower = std::numeric_limits<int64_t>::max();
      for (int64_t rate = 100'000'000; rate < 100'000'000'000; rate += rate / (1 + up_to(4)) + 1) {
        pace.link_rate = rate;
        const StreamForecast forecast = forecast_run(schedule, groups, pace, ahead);
        const double link_ns = static_cast<double>(schedule.streamed.count) * 1e9 / static_cast<double>(rate);
        ASSERT_GE(forecast.run_ns, steps_ns) << "seed " << seed;
        ASSERT_GE(static_cast<double>(forecast.run_ns) + 1, link_ns) << "seed " << seed;
        ASSERT_EQ(forecast.run_ns - forecast.wait_ns, steps_ns) << "seed " << seed;
        ASSERT_LE(forecast.run_ns, slower) << "seed " << seed;
        slower = forecast.run_ns;
      }
    }
  }
}

}  // namespace
}  // namespace headrace::runtime
