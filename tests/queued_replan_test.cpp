// Weights that the engine moves by itself, on the fake device that runs behind the host.
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "queued_net.h"

namespace headrace::runtime::nets {
namespace {

using fake::FakeQueuedDevice;
using fake::FakeQueuedOptions;

// With the last step's result as output.
Plan embedding_and_pairs(int64_t large_mib = 12, int64_t small_mib = 4, int idle_steps = 0) {
  testing::PlanMaker maker = testing::embedding_and_pairs(large_mib, small_mib, idle_steps);
  maker.add_output();
  return maker.plan;
}

struct QueuedMixNet {
  explicit QueuedMixNet(const Plan& plan, Bytes budget = mib(12), FakeQueuedOptions options = {})
      : file(plan), device(std::make_shared<FakeQueuedDevice>(options)) {
    one.inputs = {testing::random_tensor({3, 8}, 1)};
    auto resident = take(file.open(std::make_shared<FakeQueuedDevice>(), {.weight_budget = gib(1)},
                                   std::make_unique<QueuedMix>()));
    one.want = take(take(resident->make_context())->run(one.inputs));
    engine = take(file.open(device, {.weight_budget = budget}, std::make_unique<QueuedMix>()));
    context = take(engine->make_context());
  }
  void run(int times = 1) {
    for (int i = 0; i < times; ++i) expect_case(*context, one, 0);
  }
  // What runs of the context copy beside what streams: weights that move.
  Bytes moved_in(int runs) {
    Bytes moved;
    for (int i = 0; i < runs; ++i) {
      const Bytes before = device->bytes_copied();
      run();
      const Bytes all = device->bytes_copied() - before - context->memory().streamed_last_run;
      moved += {all.count / mib(1).count * mib(1).count};  // inputs and outputs are a few bytes
    }
    return moved;
  }

  const testing::TestFile file;
  Case one;
  std::shared_ptr<FakeQueuedDevice> device;
  std::shared_ptr<Engine> engine;
  std::shared_ptr<Context> context;
};

TEST(QueuedReplan, TakesTheBetterPlanAfterTheRunThatIsTimed) {
  QueuedMixNet net(embedding_and_pairs());
  EXPECT_EQ(net.moved_in(2), Bytes{});
  EXPECT_EQ(net.moved_in(1), mib(12));
  EXPECT_EQ(net.moved_in(40), Bytes{});
  EXPECT_EQ(net.context->memory().resident, mib(12));
  EXPECT_EQ(net.engine->weight_budget(), mib(12));
  EXPECT_EQ(net.device->captures(), 1);
  ASSERT_TRUE(net.engine->set_weight_budget(mib(12)).ok());
  EXPECT_EQ(net.moved_in(2), Bytes{});
}

TEST(QueuedReplan, LeavesWeightsAloneForLessThanAHundredth) {
  QueuedMixNet net(embedding_and_pairs(12, 4, 400));
  EXPECT_EQ(net.moved_in(20), Bytes{});
  EXPECT_GT(net.context->memory().link_rate, 0);
}

TEST(QueuedReplan, CapturesRunsAnew) {
  QueuedMixNet net(embedding_and_pairs());
  auto outer = take(net.engine->make_context());
  net.run();
  outer->set_progress([&](const ProgressEvent& event) {
    if (event.done == 0) net.run(4);  // one is timed; nothing moves inside another's run
    return true;
  });
  expect_case(*outer, net.one, 0);
  EXPECT_EQ(net.device->captures(), 1);
  EXPECT_EQ(net.moved_in(1), mib(12));
  net.run(3);
  EXPECT_EQ(net.device->captures(), 2);
}

TEST(QueuedReplan, FollowsTheFirstOfContextsThatComeAndGo) {
  QueuedMixNet net(embedding_and_pairs());
  net.run(3);
  for (int i = 0; i < 4; ++i) {
    auto other = take(net.engine->make_context());
    for (int run = 0; run < 4; ++run) expect_case(*other, net.one, 0);
    EXPECT_EQ(net.moved_in(1), Bytes{});
  }
}

TEST(QueuedReplan, WaitsForRunsThatAreUnderWayOnTheDevice) {
  QueuedMixNet net(embedding_and_pairs(), mib(12), {.eager = 0});
  const auto caller = take(net.device->make_work_queue());
  ASSERT_TRUE(net.context->set_stream(caller.get()).ok());
  DeviceTensors tensors(*net.device, *caller, net.one);
  for (int run = 0; run < 8; ++run) {
    tensors.fill_inputs();
    const Status status = net.context->run_into(tensors.inputs, tensors.outputs);
    ASSERT_TRUE(status.ok()) << status.message();
    if (run % 2) tensors.expect_outputs(fmt::format("run {}", run));
  }
  EXPECT_EQ(net.device->failure().message(), "");
  ASSERT_TRUE(net.context->set_stream(std::nullopt).ok());
  const Bytes before = net.device->bytes_copied();
  ASSERT_TRUE(net.engine->set_weight_budget(mib(12)).ok());
  EXPECT_EQ(net.device->bytes_copied(), before);  // the better plan is there
}

TEST(QueuedReplan, KeepsRunningWhereAnythingFails) {
  int moved = 0, kept = 0;
  for (const auto fail : {&FakeQueuedDevice::fail_allocation, &FakeQueuedDevice::fail_read}) {
    for (int64_t nth = 0; nth < 6; ++nth) {
      QueuedMixNet net(embedding_and_pairs(), mib(12),
                       {.pins_files = nth % 2 == 0, .unit = kib(nth % 3 ? 16 : 0)});
      net.run(2);
      ((*net.device).*fail)(nth);
      const bool ok = net.context->run(net.one.inputs).ok();
      EXPECT_TRUE(ok || fail == &FakeQueuedDevice::fail_read) << nth;  // of what streams
      ((*net.device).*fail)(-1);
      net.device->heal();
      net.run(3);
      const Bytes before = net.device->bytes_copied();
      ASSERT_TRUE(net.engine->set_weight_budget(mib(12)).ok());
      (net.device->bytes_copied() == before ? moved : kept)++;
      net.run();
    }
  }
  EXPECT_GT(moved, 0);
  EXPECT_GT(kept, 0);
}

}  // namespace
}  // namespace headrace::runtime::nets
