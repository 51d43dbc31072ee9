#include "runtime/step_timer.h"

#include <gtest/gtest.h>

#include "device/fake/fake_queued_device.h"

namespace headrace::runtime {
namespace {

using fake::FakeQueuedDevice;
using fake::FakeWorkQueue;

TEST(StepTimer, TellsWhatEachStepPutOnTheQueueTook) {
  FakeQueuedDevice device({.eager = 0, .work_ns = 1000});
  auto queue = *device.make_work_queue();
  StepTimes times(3);
  StepTimer timer(device);
  const auto work = [&](int count) {
    for (int i = 0; i < count; ++i)
      ASSERT_TRUE(static_cast<FakeWorkQueue&>(*queue).push("work", [] { return Status(); }).ok());
  };
  for (const auto& [step, works] : {std::pair<StepIndex, int>{0, 2}, {2, 40}}) {
    work(7);  // waits and copies before the step are not its own
    ASSERT_TRUE(timer.begin(step, *queue).ok());
    work(works);
    ASSERT_TRUE(timer.end(step, *queue).ok());
  }
  ASSERT_TRUE(queue->synchronize().ok());
  EXPECT_FALSE(times.settled());
  ASSERT_TRUE(timer.tell(times).ok());
  EXPECT_TRUE(times.settled());
  const std::vector<int64_t> measured = times.get();
  EXPECT_NEAR(static_cast<double>(measured[0]), 2000, 2000);
  EXPECT_EQ(measured[1], 0);
  EXPECT_NEAR(static_cast<double>(measured[2]), 40000, 2000);
}

TEST(StepTimer, SaysWhereAnEventIsRefused) {
  FakeQueuedDevice device;
  auto queue = *device.make_work_queue();
  StepTimer timer(device);
  device.fail_call(0);
  EXPECT_FALSE(timer.begin(0, *queue).ok());
}

}  // namespace
}  // namespace headrace::runtime
