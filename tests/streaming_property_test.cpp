// A property: whatever the graph, the budget, the order in which reads complete, the number of contexts and
// the budget changes between their runs, results are those of the resident run to the bit, and memory stays
// inside what the budget allows.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "random_net.h"

namespace headrace::runtime {
namespace {

using namespace nets;

TEST(Streaming, AgreesWithTheResidentRunUnderAnyBudget) {
  int streamed = 0;
  for (uint64_t seed = 0; seed < 25; ++seed) {
    const NetFile file(seed);
    Random random(seed + 1000);
    const std::vector<Case> cases = resident_cases(file, random);
    auto device = std::make_shared<fake::FakeDevice>(fake::FakeOptions{.seed = seed});
    auto engine = file.open(device, Bytes{0});
    auto context = take(engine->make_context({.threads = 1}));
    for (int round = 0; round < 6; ++round) {
      const Bytes budget = random_budget(*engine, random);
      const Bytes before = engine->weight_budget();
      device->reset_peak();
      ASSERT_TRUE(engine->set_weight_budget(budget).ok());
      for (const Case& one : cases) {
        EXPECT_TRUE(same_bits(take(context->run(one.inputs)), one.want)) << "seed " << seed;
        const MemoryReport report = context->memory();
        EXPECT_LE(report.resident, budget);
        streamed += report.streamed_last_run > Bytes{} && report.resident > Bytes{};
        EXPECT_LE(report.device_peak,
                  std::max(before, budget) + report.scratch + report.arena + report.always_resident)
            << "seed " << seed;
      }
    }
  }
  EXPECT_GT(streamed, 100);  // runs with some weights resident and some not
}

TEST(Streaming, AgreesWhileContextsRunTogetherAndBudgetsChange) {
  for (uint64_t seed = 100; seed < 108; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    auto device = std::make_shared<fake::FakeDevice>(fake::FakeOptions{.seed = seed});
    auto engine = file.open(device, Bytes{0});
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        Random own(seed * 31 + t);
        ContextOptions options;
        options.threads = 1;
        auto context = take(engine->make_context(options));
        for (int run = 0; run < 12; ++run) {
          const Case& one = cases[own() % cases.size()];
          EXPECT_TRUE(same_bits(take(context->run(one.inputs)), one.want)) << "seed " << seed;
          const MemoryReport report = context->memory();
          EXPECT_LE(report.resident, engine->streamable());
        }
      });
    }
    std::thread watcher([&] {
      while (!stop) {
        EXPECT_LE(engine->weight_budget(), engine->streamable());
        std::this_thread::yield();
      }
    });
    for (int change = 0; change < 15; ++change) {
      const Status status = engine->set_weight_budget(random_budget(*engine, random));
      EXPECT_TRUE(status.ok()) << status.message();
    }
    for (std::thread& thread : threads) thread.join();
    stop = true;
    watcher.join();
  }
}

bool names_a_weight(const Status& status) {
  return status.code() == Code::kUnavailable && status.message().find("weight 'w") != std::string::npos;
}

TEST(Streaming, NamesTheWeightOfEveryReadThatFailsAndRunsOn) {
  int64_t failures = 0;
  for (uint64_t seed = 200; seed < 206; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    auto device = std::make_shared<fake::FakeDevice>(fake::FakeOptions{.seed = seed});
    auto engine = file.open(device, Bytes{0});
    auto context = take(engine->make_context({.threads = 1}));
    const Case& one = cases[0];
    const int64_t before = device->reads();
    ASSERT_TRUE(context->run(one.inputs).ok());
    const int64_t reads = device->reads() - before;
    for (int64_t nth = 0; nth < 2 * reads; ++nth) {
      // One read fails: a run fails with it, or reads again what was read ahead of it.
      device->fail_read(nth % reads);
      for (int run = 0; run < 2; ++run) {
        const auto result = context->run(one.inputs);
        if (result.ok()) {
          EXPECT_TRUE(same_bits(*result, one.want)) << "seed " << seed;
        } else {
          EXPECT_TRUE(names_a_weight(result.status())) << result.status().message();
        }
      }
      // All fail: the run that needs them fails, which may be the next one.
      device->fail_reads_from(nth % reads);
      auto failed = context->run(one.inputs);
      if (failed.ok()) failed = context->run(one.inputs);
      ASSERT_FALSE(failed.ok()) << "seed " << seed << ", read " << nth;
      ++failures;
      EXPECT_TRUE(names_a_weight(failed.status())) << failed.status().message();
      device->fail_reads_from(-1);
      device->fail_read(-1);
      EXPECT_TRUE(same_bits(take(context->run(one.inputs)), one.want)) << "seed " << seed;
      if (nth % 3 == 0) {
        EXPECT_TRUE(same_bits(take(context->run(one.inputs)), one.want)) << "seed " << seed;
      }
    }
    for (int64_t nth = 0; nth < 6; ++nth) {  // and every allocation of a change and the run after it
      device->fail_allocation(nth);
      (void)engine->set_weight_budget(random_budget(*engine, random));
      (void)context->run(one.inputs);
      device->fail_allocation(-1);
      EXPECT_TRUE(same_bits(take(context->run(one.inputs)), one.want)) << "seed " << seed;
      const MemoryReport report = context->memory();
      EXPECT_LE(report.resident, report.weight_budget);
      EXPECT_EQ(report.device_used, report.resident + report.always_resident + report.scratch + report.arena);
    }
  }
  EXPECT_GT(failures, 30);
}

TEST(Streaming, HoldsAMemoryLimitInEveryContext) {
  for (uint64_t seed = 300; seed < 308; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    auto probe = file.open(std::make_shared<fake::FakeDevice>(), Bytes{0});
    const MemoryNeed need = take(probe->memory_need({{"s0", 8}}, 1));
    for (int round = 0; round < 6; ++round) {
      const Bytes spare = {
          static_cast<int64_t>(random() % static_cast<uint64_t>((need.most - need.least).count + 1))};
      const Bytes limit = need.least + spare;
      auto device = std::make_shared<fake::FakeDevice>(fake::FakeOptions{.seed = seed});
      auto engine = file.open(device, Bytes{0});
      auto context = take(engine->make_context({.threads = 1, .memory_limit = limit}));
      ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
      for (const Case& one : cases) {
        EXPECT_TRUE(same_bits(take(context->run(one.inputs)), one.want)) << "seed " << seed;
        ASSERT_TRUE(engine->set_weight_budget(random_budget(*engine, random)).ok());
        EXPECT_TRUE(same_bits(take(context->run(one.inputs)), one.want)) << "seed " << seed;
      }
      EXPECT_LE(device->peak(), limit) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace headrace::runtime
