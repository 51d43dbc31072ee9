#include "runtime/copy_timer.h"

#include <gtest/gtest.h>

#include "device/fake/fake_queued_device.h"

namespace headrace::runtime {
namespace {

using fake::FakeQueuedDevice;
using fake::FakeWorkQueue;

TEST(CopyTimer, TellsTheRateOfCopiesBetweenWhichNothingWaits) {
  FakeQueuedDevice device({.eager = 0, .work_ns = 1000});
  auto queue = *device.make_work_queue();
  CopyTimer timer(device);
  const auto work = [&] {
    ASSERT_TRUE(static_cast<FakeWorkQueue&>(*queue).push("copy", [] { return Status(); }).ok());
  };
  ASSERT_TRUE(timer.end(*queue).ok());  // before anything has begun
  for (const Bytes size : {mib(4), kib(4), mib(4)}) {
    for (int i = 0; i < 50; ++i) work();  // waits for places
    ASSERT_TRUE(timer.begin(*queue).ok());
    for (int i = 0; i < 20; ++i) {
      work();
      timer.add(size);
    }
    ASSERT_TRUE(timer.end(*queue).ok());
  }
  ASSERT_TRUE(queue->synchronize().ok());
  LinkRate rate;
  ASSERT_TRUE(timer.tell(rate).ok());
  const double four_mib_in_a_microsecond = 4.0 * 1024 * 1024 * 1e6;
  EXPECT_NEAR(static_cast<double>(rate.get()) / four_mib_in_a_microsecond, 1, 0.1);
}

TEST(CopyTimer, SaysWhereAnEventIsRefused) {
  FakeQueuedDevice device;
  auto queue = *device.make_work_queue();
  CopyTimer timer(device);
  device.fail_call(0);
  EXPECT_FALSE(timer.begin(*queue).ok());
  ASSERT_TRUE(timer.begin(*queue).ok());
  timer.add(mib(8));
  device.fail_call(0);
  EXPECT_FALSE(timer.end(*queue).ok());
  ASSERT_TRUE(queue->synchronize().ok());
  LinkRate rate;
  EXPECT_TRUE(timer.tell(rate).ok());
  EXPECT_EQ(rate.get(), 0);  // of copies whose end is not known
}

}  // namespace
}  // namespace headrace::runtime
