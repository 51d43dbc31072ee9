#include "runtime/memory_limit.h"

#include <gtest/gtest.h>

#include "device/fake/fake_device.h"
#include "device/fake/fake_queued_device.h"
#include "runtime/testing.h"

namespace headrace::runtime {
namespace {

using testing::MixKernels;
using testing::PlanMaker;
using testing::random_tensor;
using testing::same_bits;
using testing::take;
using testing::TestFile;

// Eight groups of 256 KiB and one of 1 MiB; activations of 4 KiB a row.
Plan big_plan() {
  PlanMaker maker(1024);
  for (int i = 0; i < 4; ++i) maker.add_step({maker.add_group({256 << 10})});
  maker.add_step({maker.add_group({1 << 20})});
  for (int i = 0; i < 4; ++i) maker.add_step({maker.add_group({256 << 10})});
  maker.add_output();
  return maker.plan;
}

TEST(MemoryLimit, ChargesTheDriverInStepsAndOneAhead) {
  EXPECT_EQ(driver_charge({}), Bytes{});
  EXPECT_EQ(driver_charge({1}), mib(32));
  EXPECT_EQ(driver_charge(mib(16)), mib(48));
}

TEST(MemoryLimit, KnowsWhatBlocksLose) {
  std::vector<GroupUse> groups(4);
  groups[0].size = mib(4);            // whole blocks
  groups[1].size = mib(4) + kib(4);   // 2 MiB less 4 KiB
  groups[2].size = mib(1) + kib(24);  // 1 MiB less 24 KiB
  groups[3].size = kib(512);          // shares a block with others
  EXPECT_EQ(lost_in_blocks(groups, {true, true, true, true}, mib(2)), mib(3) - kib(28));
  EXPECT_EQ(lost_in_blocks(groups, {true, false, true, true}, mib(2)), mib(1) - kib(24));
  EXPECT_EQ(lost_in_blocks(groups, {true, true, true, true}, {}), Bytes{});
}

TEST(MemoryLimit, CountsWhatGrowsAsTheDeviceDoes) {
  const TestFile file(big_plan());
  auto device = std::make_shared<fake::FakeQueuedDevice>(fake::FakeQueuedOptions{.unit = mib(2)});
  auto engine = take(file.open(device, {.weight_budget = Bytes{0}}, std::make_unique<MixKernels>(kib(20))));
  const MemoryNeed need = take(engine->memory_need({{"n", 2}}, 1));
  EXPECT_EQ(need.arena, mib(2));
  EXPECT_EQ(need.scratch, mib(2));
  EXPECT_EQ(need.least, mib(4));
  const WeightPlanner planner(engine->plan(), RowAccess::kWhole, mib(2));
  const std::vector<bool> none = planner.choose({});
  EXPECT_EQ(planner.wanted(none).count % mib(2).count, 0);
  EXPECT_LE(planner.schedule(none, mib(4) - Bytes{1}).scratch, mib(2));
}

TEST(MemoryLimit, IsHeldAtEveryLevelDownToTheLeast) {
  const TestFile file(big_plan());
  const std::vector<Tensor> x = {random_tensor({2, 1024}, 1)};
  Tensor want;
  auto probe = take(file.open(std::make_shared<fake::FakeDevice>(), {.weight_budget = gib(1)},
                              std::make_unique<MixKernels>(kib(20))));
  want = take(take(probe->make_context())->run(x))[0];
  const MemoryNeed need = take(probe->memory_need({{"n", 2}}, 1));
  EXPECT_EQ(need.scratch, mib(1));
  EXPECT_EQ(need.largest_streamed, "w4");
  EXPECT_EQ(need.arena, kib(36));  // two rows of activations at once, twice, and the workspace
  EXPECT_EQ(need.most - need.least, probe->streamable() - mib(1));
  for (Bytes limit = need.least; limit <= need.most + mib(1); limit += kib(100)) {
    auto device = std::make_shared<fake::FakeDevice>(fake::FakeOptions{.memory_limit = limit});
    auto engine = take(file.open(device, {.weight_budget = Bytes{0}}, std::make_unique<MixKernels>(kib(20))));
    auto context = take(engine->make_context({.threads = 1, .memory_limit = limit}));
    ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
    for (int run = 0; run < 2; ++run) {
      EXPECT_TRUE(same_bits(take(context->run(x))[0], want));
      ASSERT_TRUE(engine->set_weight_budget(Bytes{engine->streamable().count / 3}).ok());
      EXPECT_TRUE(same_bits(take(context->run(x))[0], want));
      ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
    }
    EXPECT_LE(device->peak(), limit);
    EXPECT_EQ(engine->weight_budget() == engine->streamable(), limit >= need.most);
  }
}

TEST(MemoryLimit, ThatIsTooSmallIsRefusedWithTheLeastThatWorks) {
  const TestFile file(big_plan());
  auto engine = take(file.open(std::make_shared<fake::FakeDevice>(), {.weight_budget = Bytes{0}},
                               std::make_unique<MixKernels>(kib(20))));
  const Status status = engine->make_context({.threads = 1, .memory_limit = kib(500)}).status();
  EXPECT_EQ(status.code(), Code::kExhausted);
  EXPECT_EQ(status.message(),
            file.path().filename().string() +
                " does not fit a memory limit of 500.0 KiB: it needs at least 1.0 MiB\n"
                "  (arena 36.0 KiB for n = 2, scratch 1.0 MiB for 'w4', always resident 0 B)\n"
                "  try a memory limit of 2MiB, or smaller inputs");
  EXPECT_EQ(engine->set_weight_budget(engine->streamable()).message(), "");
}

TEST(MemoryLimit, MakesRoomForALargerArenaOrRefusesTheRun) {
  const TestFile file(big_plan());
  auto device = std::make_shared<fake::FakeDevice>();
  auto engine = take(file.open(device, {.weight_budget = Bytes{0}}, std::make_unique<MixKernels>(kib(20))));
  const Bytes limit = take(engine->memory_need({{"n", 2}}, 1)).most;
  auto context = take(engine->make_context({.threads = 1, .memory_limit = limit}));
  ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
  EXPECT_EQ(engine->weight_budget(), engine->streamable());
  ASSERT_TRUE(context->run(std::vector{random_tensor({2, 1024}, 1)}).ok());
  device->reset_peak();
  ASSERT_TRUE(context->run(std::vector{random_tensor({64, 1024}, 1)}).ok());
  EXPECT_LT(engine->weight_budget(), engine->streamable());
  EXPECT_LE(device->peak(), limit);

  ASSERT_TRUE(context->set_memory_limit(take(engine->memory_need({{"n", 2}}, 1)).least).ok());
  device->reset_peak();
  ASSERT_TRUE(context->run(std::vector{random_tensor({2, 1024}, 1)}).ok());
  const Status status = context->run(std::vector{random_tensor({64, 1024}, 1)}).status();
  EXPECT_EQ(status.code(), Code::kExhausted);
  EXPECT_NE(status.message().find("for n = 64"), std::string::npos) << status.message();
  ASSERT_TRUE(context->run(std::vector{random_tensor({2, 1024}, 1)}).ok());
  EXPECT_LE(device->peak(), take(engine->memory_need({{"n", 2}}, 1)).least);
  EXPECT_EQ(context->set_memory_limit(Bytes{-5}).code(), Code::kInvalidArgument);
  ASSERT_TRUE(context->set_memory_limit(std::nullopt).ok());
  EXPECT_EQ(engine->weight_budget(), engine->streamable());
}

}  // namespace
}  // namespace headrace::runtime
