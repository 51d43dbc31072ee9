#include "runtime/step_times.h"

#include <gtest/gtest.h>

#include "device/fake/fake_device.h"
#include "runtime/timed_testing.h"

namespace headrace::runtime {
namespace {

using testing::PlanMaker;
using testing::random_tensor;
using testing::take;
using testing::TestFile;
using testing::TimedKernels;

TEST(StepTimes, SettleAfterThreeRunsAndLetOldOnesFade) {
  StepTimes times(2);
  for (int run = 0; run < 3; ++run) {
    EXPECT_FALSE(times.settled());
    times.note(0, 100);
    times.note(1, 40);
    times.note_run();
  }
  EXPECT_TRUE(times.settled());
  EXPECT_EQ(times.get(), (std::vector<int64_t>{100, 40, 0}));
  times.note(1, 80);
  EXPECT_EQ(times.get()[1], 50);
}

TEST(StepTimes, DifferWhereAQuarterOfTheRunMoves) {
  const std::vector<int64_t> even = {10, 10, 10, 10}, noisy = {13, 9, 10, 8}, late = {1, 1, 1, 10};
  EXPECT_TRUE(differ(even, {}));
  EXPECT_FALSE(differ(even, std::vector<int64_t>{20, 20, 20, 20}));
  EXPECT_FALSE(differ(even, noisy));
  EXPECT_TRUE(differ(even, late));
  EXPECT_TRUE(differ(even, std::vector<int64_t>(4, 0)));
}

Plan ten_groups() {
  PlanMaker maker;
  for (int i = 0; i < 10; ++i) maker.add_step({maker.add_group({100 * 1024})});
  maker.add_output();
  return maker.plan;
}

testing::StepTable last_is_late() {
  auto step_ns = std::make_shared<std::vector<int64_t>>(10, 0);
  step_ns->back() = 1'000'000'000;
  return step_ns;
}

TEST(StepTimes, DecideWhatIsResidentAtTheNextChangeOfTheBudget) {
  const TestFile file(ten_groups());
  auto device = std::make_shared<fake::FakeDevice>();
  auto engine = file.open(
      std::shared_ptr<Device>(device), {.weight_budget = Bytes{0}},
      std::make_unique<TimedKernels>([device](int64_t ns) { device->advance(ns); }, last_is_late()));
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  const Bytes half = {(*engine)->streamable().count / 2};
  ASSERT_TRUE((*engine)->set_weight_budget(half).ok());
  auto context = (*engine)->make_context();
  ASSERT_TRUE(context.ok());
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  // What a change to the budget in force reads: nothing, unless other groups are chosen now.
  const auto moved = [&] {
    (*context)->set_progress([](const ProgressEvent&) { return false; });
    EXPECT_FALSE((*context)->run(x).ok());  // so that nothing is being read ahead
    (*context)->set_progress({});
    const Bytes before = device->bytes_read();
    EXPECT_TRUE((*engine)->set_weight_budget(half).ok());
    EXPECT_EQ((*context)->memory().resident, half);
    return device->bytes_read() - before;
  };
  for (int run = 0; run < 3; ++run) {
    EXPECT_EQ(moved(), Bytes{0}) << run;
    ASSERT_TRUE((*context)->run(x).ok());
  }
  EXPECT_GT(moved(), Bytes{0});
  ASSERT_TRUE((*context)->run(x).ok());
  EXPECT_EQ(moved(), Bytes{0});
}

TEST(StepTimes, CountForTheContextsThatComeAfterTheirOwn) {
  const TestFile file(ten_groups());
  auto device = std::make_shared<fake::FakeDevice>();
  auto engine = take(file.open(
      std::shared_ptr<Device>(device), {.weight_budget = Bytes{0}},
      std::make_unique<TimedKernels>([device](int64_t ns) { device->advance(ns); }, last_is_late())));
  const Bytes half = {engine->streamable().count / 2};
  ASSERT_TRUE(engine->set_weight_budget(half).ok());
  const auto moved = [&] {
    const Bytes before = device->bytes_read();
    EXPECT_TRUE(engine->set_weight_budget(half).ok());
    return device->bytes_read() - before;
  };
  {
    auto context = take(engine->make_context());
    for (int run = 0; run < 3; ++run) ASSERT_TRUE(context->run(std::vector{random_tensor({3, 8}, 1)}).ok());
  }
  EXPECT_GT(moved(), Bytes{0});
  EXPECT_EQ(moved(), Bytes{0});
}

}  // namespace
}  // namespace headrace::runtime
