// Pools on the host. Those of a device that runs behind it are in tests/pool_test.cpp.
#include "runtime/pool.h"

#include <gtest/gtest.h>

#include "device/fake/fake_device.h"
#include "runtime/testing.h"

namespace headrace::runtime {
namespace {

using testing::PlanMaker;
using testing::random_tensor;
using testing::same_bits;
using testing::take;
using testing::TestFile;

// `groups` weights that stream, with a table of rows between.
Plan plan_of(int groups, int64_t bytes) {
  PlanMaker maker(256);
  const int32_t rows = maker.add_group({64 * 5000}, true, WeightUse::kRows);
  maker.add_step({rows});
  for (int i = 0; i < groups; ++i) maker.add_step({maker.add_group({bytes})});
  maker.add_output();
  return maker.plan;
}

TEST(HostPool, IsAsLargeAsTheEngineThatNeedsMostAndGivesTheSameBits) {
  const TestFile files[] = {TestFile(plan_of(8, 100000), 1), TestFile(plan_of(5, 300000), 2)};
  const std::vector<Tensor> x = {random_tensor({3, 256}, 1)}, wide = {random_tensor({64, 256}, 2)};
  std::vector<std::vector<Tensor>> wants;
  Bytes arena, scratch;
  for (const TestFile& file : files) {
    auto engine = take(file.open(std::make_shared<fake::FakeDevice>(), {.weight_budget = Bytes{0}}));
    auto context = take(engine->make_context());
    wants.push_back({take(context->run(x))[0], take(context->run(wide))[0]});
    arena = std::max(arena, context->memory().arena);
    scratch = std::max(scratch, context->memory().scratch);
  }
  // Engines on the host have a device each; the pool is counted at the first one's.
  const auto pool = std::make_shared<Pool>();
  std::vector<std::shared_ptr<fake::FakeDevice>> devices;
  std::vector<std::shared_ptr<Context>> contexts;
  for (const TestFile& file : files) {
    devices.push_back(std::make_shared<fake::FakeDevice>());
    auto engine = take(file.open(devices.back(), {.weight_budget = Bytes{0}}));
    contexts.push_back(take(engine->make_context({.pool = pool})));
  }
  for (int round = 0; round < 6; ++round) {
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(same_bits(take(contexts[i]->run(x))[0], wants[i][0])) << round;
      if (round > 1) {
        EXPECT_TRUE(same_bits(take(contexts[i]->run(wide))[0], wants[i][1])) << round;
      }
    }
  }
  EXPECT_EQ(pool->arena().size(), arena);
  EXPECT_EQ(pool->scratch().size(), scratch);
  for (size_t i = 0; i < 2; ++i) {
    const MemoryReport report = contexts[i]->memory();
    EXPECT_EQ(report.device_used, report.resident + report.always_resident + report.scratch + report.arena);
    EXPECT_GE(report.device_peak, report.device_used);
    EXPECT_EQ(devices[i]->used(), report.device_used - (i == 0 ? Bytes{} : arena + scratch));
  }
  contexts.erase(contexts.begin());
  EXPECT_TRUE(same_bits(take(contexts[0]->run(x))[0], wants[1][0]));
  contexts.clear();
  for (const auto& device : devices) EXPECT_EQ(device->used(), Bytes{});
}

TEST(HostPool, OutlivesGrowthThatFails) {
  const TestFile files[] = {TestFile(plan_of(3, 100000), 1), TestFile(plan_of(3, 400000), 2)};
  const std::vector<Tensor> x = {random_tensor({3, 256}, 1)}, wide = {random_tensor({64, 256}, 2)};
  auto device = std::make_shared<fake::FakeDevice>();
  const auto pool = std::make_shared<Pool>();
  std::vector<std::shared_ptr<Context>> contexts;
  for (const TestFile& file : files) {
    contexts.push_back(
        take(take(file.open(device, {.weight_budget = Bytes{0}}))->make_context({.pool = pool})));
  }
  const Tensor want = take(contexts[0]->run(x))[0];
  for (int nth = 0; nth < 2; ++nth) {  // the arena, the scratch
    device->fail_allocation(nth);
    EXPECT_EQ(contexts[1]->run(wide).status().code(), Code::kExhausted);
    device->fail_allocation(-1);
    EXPECT_TRUE(same_bits(take(contexts[0]->run(x))[0], want));
  }
  device->fail_allocation(0);  // the scratch, which is gone then for both
  EXPECT_EQ(contexts[1]->run(wide).status().code(), Code::kExhausted);
  EXPECT_EQ(pool->scratch().size(), Bytes{});
  for (int run = 0; run < 2; ++run) {
    device->fail_allocation(0);
    EXPECT_EQ(contexts[0]->run(x).status().code(), Code::kExhausted);
  }
  EXPECT_TRUE(same_bits(take(contexts[0]->run(x))[0], want));
  ASSERT_TRUE(contexts[1]->run(wide).ok());
  EXPECT_TRUE(same_bits(take(contexts[0]->run(x))[0], want));
}

TEST(HostPool, RefusesRunsThatOverlap) {
  const TestFile file(plan_of(3, 100000));
  const std::vector<Tensor> x = {random_tensor({3, 256}, 1)};
  auto engine = take(file.open(std::make_shared<fake::FakeDevice>()));
  const auto pool = std::make_shared<Pool>();
  auto one = take(engine->make_context({.pool = pool})), other = take(engine->make_context({.pool = pool}));
  Status inside;
  one->set_progress([&](const ProgressEvent&) {
    inside = other->run(x).status();
    return true;
  });
  ASSERT_TRUE(one->run(x).ok());
  EXPECT_EQ(inside.code(), Code::kInvalidArgument);
  EXPECT_EQ(inside.message(),
            "another context of this pool is running; contexts that run at the same time need a pool each");
  ASSERT_TRUE(other->run(x).ok());
}

}  // namespace
}  // namespace headrace::runtime
