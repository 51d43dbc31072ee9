#include "runtime/weight_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace headrace::runtime {
namespace {

// `count` groups of `size`, one for each step.
std::vector<GroupUse> a_chain(int count, Bytes size) {
  std::vector<GroupUse> groups;
  for (int i = 0; i < count; ++i) groups.push_back({size, true, false, {i}});
  return groups;
}

TEST(WeightPlan, SpreadsStreamedGroupsEvenly) {
  const auto groups = a_chain(100, mib(4));
  for (int64_t share = 0; share <= 100; ++share) {
    const auto resident = choose_resident(groups, mib(4) * share);
    EXPECT_EQ(resident_bytes(groups, resident), mib(4) * share);
    // Between any two points of the run, what streams differs from its share by less than two groups.
    double streamed = 0;
    for (int i = 0; i < 100; ++i) {
      streamed += resident[static_cast<size_t>(i)] ? 0 : 1;
      EXPECT_NEAR(streamed, (100.0 - static_cast<double>(share)) * (i + 1) / 100.0, 1.0);
    }
  }
}

TEST(WeightPlan, SpreadsByMeasuredTimes) {
  auto groups = a_chain(10, mib(1));
  std::vector<int64_t> step_ns(10, 1);
  step_ns[9] = 1000;  // nearly all of the time is there, so nearly all reads belong before its end
  const auto resident = choose_resident(groups, mib(5), {.step_ns = step_ns});
  EXPECT_EQ(std::accumulate(resident.begin(), resident.end(), 0), 5);
  EXPECT_EQ(std::accumulate(resident.begin(), resident.begin() + 5, 0), 5);
}

TEST(WeightPlan, PrefersWhatIsReadMoreOften) {
  std::vector<GroupUse> groups = a_chain(10, mib(1));
  groups[7].steps = {3, 7, 9};
  groups.push_back({mib(1), true, true, {}});  // rows
  auto resident = choose_resident(groups, mib(1));
  EXPECT_TRUE(resident[7]);
  resident = choose_resident(groups, mib(10));
  EXPECT_FALSE(resident[10]);
  EXPECT_EQ(resident_bytes(groups, resident), mib(10));
  EXPECT_TRUE(choose_resident(groups, mib(11))[10]);
}

TEST(WeightPlan, UsesSpareBytesForWhatStillFits) {
  const std::vector<GroupUse> groups = {{mib(8), true, false, {0}}, {mib(1), true, false, {1}}};
  const auto resident = choose_resident(groups, mib(2));
  EXPECT_FALSE(resident[0]);
  EXPECT_TRUE(resident[1]);
}

TEST(WeightPlan, ReadsAGroupOnceForUsesThatAreNear) {
  const std::vector<GroupUse> groups = {{mib(4), true, false, {0, 1, 3}}, {mib(4), true, false, {2}}};
  const auto schedule = schedule_streams(groups, {false, false}, 4);
  EXPECT_EQ(schedule.streamed, mib(8));
  EXPECT_EQ(schedule.scratch, mib(8));
  // With room for one group alone, it is read again.
  const auto tight = schedule_streams(groups, {false, false}, 4, mib(4));
  EXPECT_EQ(tight.scratch, mib(4));
  EXPECT_EQ(tight.streamed, mib(20 - 4));
}

TEST(WeightPlan, TakesGroupsThatNoStepReads) {
  const std::vector<GroupUse> groups = {{mib(4), true, false, {}}, {mib(4), true, true, {}}};
  EXPECT_EQ(resident_bytes(groups, choose_resident(groups, mib(5))), mib(4));
  EXPECT_EQ(schedule_streams(groups, {false, false}, 1).scratch, Bytes{0});
}

TEST(WeightPlan, NeedsNoScratchForRowsOrResidentGroups) {
  const std::vector<GroupUse> groups = {{mib(4), true, true, {}}, {mib(4), true, false, {0}}};
  const auto schedule = schedule_streams(groups, {false, true}, 1);
  EXPECT_EQ(schedule.scratch, Bytes{0});
  EXPECT_TRUE(schedule.loads.empty());
}

struct RandomPlan {
  std::vector<GroupUse> groups;
  StepIndex steps;
};

RandomPlan random_plan(std::mt19937_64& random) {
  RandomPlan plan;
  plan.steps = 1 + static_cast<StepIndex>(random() % 30);
  for (size_t i = random() % 25; i-- > 0;) {
    GroupUse group;
    group.size = Bytes{4096} * static_cast<int64_t>(random() % (random() % 3 ? 100 : 6000));
    group.streamable = random() % 5 != 0;
    group.rows = random() % 8 == 0;
    for (StepIndex step = 0; step < plan.steps && !group.rows; ++step) {
      if (random() % 6 == 0) group.steps.push_back(step);
    }
    plan.groups.push_back(group);
  }
  return plan;
}

// Runs the schedule on paper: every read starts after the bytes it overwrites were last used, and every step
// finds all its groups.
void check_schedule(const RandomPlan& plan, const std::vector<bool>& resident,
                    const StreamSchedule& schedule) {
  ASSERT_EQ(schedule.step_loads.size(), static_cast<size_t>(plan.steps) + 1);
  for (size_t i = 0; i < schedule.loads.size(); ++i) {
    const StreamLoad& load = schedule.loads[i];
    const Bytes size = plan.groups[static_cast<size_t>(load.group)].size;
    ASSERT_LT(load.issue_after, load.first_step);
    ASSERT_LE(load.first_step, load.last_step);
    ASSERT_GE(load.offset.count, 0);
    ASSERT_LE(load.offset + size, schedule.scratch);
    for (size_t j = 0; j < i; ++j) {
      const StreamLoad& other = schedule.loads[j];
      const Bytes other_size = plan.groups[static_cast<size_t>(other.group)].size;
      ASSERT_LE(other.first_step, load.first_step);
      const bool apart = load.offset + size <= other.offset || other.offset + other_size <= load.offset;
      ASSERT_TRUE(apart || other.last_step <= load.issue_after) << "loads " << j << " and " << i;
    }
  }
  for (size_t g = 0; g < plan.groups.size(); ++g) {
    if (resident[g] || plan.groups[g].rows || plan.groups[g].size == Bytes{0}) continue;
    for (const StepIndex step : plan.groups[g].steps) {
      const auto there =
          std::count_if(schedule.loads.begin(), schedule.loads.end(), [&](const StreamLoad& l) {
            return l.group == static_cast<int32_t>(g) && l.first_step <= step && step <= l.last_step;
          });
      ASSERT_EQ(there, 1) << "group " << g << " at step " << step;
    }
  }
}

TEST(WeightPlan, HoldsEveryBudgetAndEveryScratch) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    std::mt19937_64 random(seed);
    const RandomPlan plan = random_plan(random);
    const Bytes total = streamable_bytes(plan.groups);
    const Bytes budget = {static_cast<int64_t>(random() % static_cast<uint64_t>(total.count + 1))};
    const auto resident = choose_resident(plan.groups, budget);
    ASSERT_LE(resident_bytes(plan.groups, resident), budget) << "seed " << seed;
    for (size_t g = 0; g < plan.groups.size(); ++g) {
      ASSERT_TRUE(plan.groups[g].streamable || resident[g]);
      const bool would_fit = resident_bytes(plan.groups, resident) + plan.groups[g].size <= budget;
      ASSERT_TRUE(resident[g] || !would_fit) << "seed " << seed << ": spare bytes are left";
    }
    EXPECT_EQ(resident_bytes(plan.groups, choose_resident(plan.groups, total)), total);
    const Bytes least = least_scratch(plan.groups, resident, plan.steps);
    const Bytes wanted = wanted_scratch(plan.groups, resident, plan.steps);
    ASSERT_LE(least, wanted);
    for (const Bytes limit : {Bytes{INT64_MAX}, least, least + Bytes{(wanted - least).count / 2}}) {
      const auto schedule = schedule_streams(plan.groups, resident, plan.steps, limit);
      ASSERT_LE(schedule.scratch, limit);
      ASSERT_LE(schedule.scratch, wanted_scratch(plan.groups, resident, plan.steps));
      check_schedule(plan, resident, schedule);
      ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
    }
  }
}

TEST(WeightPlan, KeepsReadsAheadInAChain) {
  const auto groups = a_chain(50, mib(4));
  const auto schedule = schedule_streams(groups, std::vector<bool>(50), 50);
  EXPECT_EQ(schedule.scratch, mib(20));  // the step's own, and kReadAhead
  for (const StreamLoad& load : schedule.loads) {
    EXPECT_EQ(load.issue_after, std::max(kNone, load.first_step - 5));
  }
}

}  // namespace
}  // namespace headrace::runtime
