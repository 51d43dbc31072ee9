#include "runtime/weight_planner.h"

#include <gtest/gtest.h>

#include <random>

#include "runtime/testing.h"

namespace headrace::runtime {
namespace {

using testing::embedding_and_pairs;
using testing::PlanMaker;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kMibAMs = 1'048'576'000;  // a rate

RunPace even_pace(const WeightPlanner& planner, int64_t step_ns, int64_t rate) {
  RunPace pace = {std::vector<int64_t>(static_cast<size_t>(planner.steps()), step_ns), rate};
  pace.step_ns.back() = 0;  // delivers
  return pace;
}

StreamForecast forecast(const WeightPlanner& planner, const std::vector<bool>& set, const RunPace& pace,
                        Ahead ahead = Ahead::kOfThisRun) {
  return forecast_run(planner.schedule(set, {INT64_MAX}), planner.groups(), pace, ahead);
}

TEST(WeightPlanner, KeepsWhatWouldHoldUpARunOnceTimesAndLinkAreMeasured) {
  const WeightPlanner planner(embedding_and_pairs().plan, RowAccess::kWhole, kReadAlignment,
                              Ahead::kOfThisRun);
  const RunPace pace = even_pace(planner, 4 * kMs, kMibAMs);
  // What is read by two steps is not read twice where they are neighbours: the large weight, which nothing
  // hides, is the one to keep.
  const std::vector<bool> small = {false, true, true, true, false},
                          large = {true, false, false, false, false};
  EXPECT_EQ(planner.choose(mib(12)), small);
  EXPECT_EQ(planner.choose(mib(12), {pace.step_ns, 0}), small);
  EXPECT_EQ(planner.choose(mib(12), pace), large);
  EXPECT_EQ(forecast(planner, small, pace).run_ns, 48 * kMs);  // 12 for the first, and 36 of steps
  EXPECT_EQ(forecast(planner, large, pace).run_ns, 36 * kMs);
}

TEST(WeightPlanner, KeepsToTheUsualChoiceForLessThanAHundredthOfARun) {
  const WeightPlanner planner(embedding_and_pairs().plan, RowAccess::kWhole, kReadAlignment,
                              Ahead::kOfThisRun);
  // The large weight holds a run up by 12 ms, whatever the steps take.
  const RunPace at_the_mark = even_pace(planner, 132 * kMs, kMibAMs);
  EXPECT_EQ(planner.choose(mib(12), at_the_mark), planner.choose(mib(12), {at_the_mark.step_ns, 0}));
  const RunPace before_it = even_pace(planner, 130 * kMs, kMibAMs);
  EXPECT_NE(planner.choose(mib(12), before_it), planner.choose(mib(12), {before_it.step_ns, 0}));
}

TEST(WeightPlanner, StreamsThoseOfEachLayerThatItsStepsHide) {
  // Layers of a long step and a short one. What the short one reads comes while the long one runs; what the
  // long one reads comes late unless the one before it is long too.
  PlanMaker maker;
  for (int i = 0; i < 12; ++i) {
    maker.add_step({maker.add_group({mib(16).count})});
    maker.add_step({maker.add_group({mib(24).count})});
  }
  const WeightPlanner planner(maker.plan, RowAccess::kWhole, kReadAlignment, Ahead::kOfThisRun);
  RunPace pace = even_pace(planner, kMs, kMibAMs);
  for (size_t i = 0; i < 24; i += 2) pace.step_ns[i] = 31 * kMs;
  const Bytes half = {planner.streamable().count / 2};
  const std::vector<bool> usual = planner.choose(half, {pace.step_ns, 0});
  EXPECT_EQ(forecast(planner, usual, pace).run_ns, 439 * kMs);
  EXPECT_EQ(forecast(planner, planner.choose(half, pace), pace).run_ns, 384 * kMs);  // the steps' own
}

TEST(WeightPlanner, HoldsEveryBudgetAndIsNeverForecastSlowerThanTheUsualChoice) {
  int moved = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    const auto up_to = [&](int64_t most) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
    };
    PlanMaker maker;
    std::vector<int32_t> weights;
    for (int64_t step = up_to(25); step >= 0; --step) {
      std::vector<int32_t> reads;
      for (int64_t i = up_to(2); i > 0; --i) {
        const WeightUse use = up_to(12) == 0 ? WeightUse::kRows : WeightUse::kWhole;
        weights.push_back(maker.add_group({4096 * (1 + up_to(up_to(3) ? 3000 : 100))}, up_to(9) > 0, use));
        reads.push_back(weights.back());
      }
      if (!weights.empty() && up_to(4) == 0) {
        reads.push_back(weights[static_cast<size_t>(up_to(static_cast<int64_t>(weights.size()) - 1))]);
      }
      maker.add_step(reads);
    }
    const Ahead ahead = seed % 2 ? Ahead::kOfThisRun : Ahead::kOfTheNextToo;
    const WeightPlanner planner(maker.plan, seed % 3 ? RowAccess::kBuffered : RowAccess::kWhole,
                                kReadAlignment, ahead);
    RunPace pace = even_pace(planner, 0, 1 + up_to(20 * kMibAMs));
    for (size_t i = 0; i + 1 < pace.step_ns.size(); ++i)
      pace.step_ns[i] = up_to(4) ? up_to(4 * kMs) : up_to(1000);
    for (int round = 0; round < 4; ++round) {
      const Bytes budget = {up_to(planner.streamable().count)};
      const auto usual = planner.choose(budget, {pace.step_ns, 0}), set = planner.choose(budget, pace);
      ASSERT_LE(planner.resident(set), budget) << "seed " << seed;
      for (size_t g = 0; g < set.size(); ++g) {
        const GroupUse& group = planner.groups()[g];
        ASSERT_TRUE(group.streamable || set[g]);
        ASSERT_TRUE(set[g] || planner.resident(set) + group.size > budget)
            << "seed " << seed << ": spare bytes";
      }
      ASSERT_EQ(planner.choose(budget, pace), set);  // so that a budget that comes back restores it
      if (set == usual) continue;
      ++moved;
      const int64_t before = forecast(planner, usual, pace, ahead).run_ns;
      ASSERT_LT(forecast(planner, set, pace, ahead).run_ns, before - before / 100) << "seed " << seed;
    }
    const Bytes room = planner.least() + Bytes{up_to(planner.streamable().count)};
    const auto fits = planner.fit(room, pace);
    ASSERT_TRUE(fits.has_value());
    ASSERT_LE(planner.resident(planner.choose(*fits, pace)), room) << "seed " << seed;
  }
  EXPECT_GT(moved, 30);
}

}  // namespace
}  // namespace headrace::runtime
