// Weights that the engine moves by itself, once runs have shown what they take.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "device/fake/steady_disk.h"
#include "runtime/timed_testing.h"

namespace headrace::runtime {
namespace {

using testing::PlanMaker;
using testing::random_tensor;
using testing::same_bits;
using testing::StepTable;
using testing::take;
using testing::TestFile;
using testing::TimedKernels;

constexpr int64_t kMs = 1'000'000;
constexpr Bytes kBudget = mib(8);

struct Part {
  int64_t mib, ms;
};

Plan plan_of(const std::vector<Part>& parts) {
  PlanMaker maker;
  for (const Part& part : parts) maker.add_step({maker.add_group({mib(part.mib).count})});
  maker.add_output();
  return maker.plan;
}

StepTable table_of(const std::vector<Part>& parts, int64_t slower) {
  auto table = std::make_shared<std::vector<int64_t>>();
  for (const Part& part : parts) table->push_back(part.ms * kMs * slower);
  return table;
}

// By bytes, the last weight streams into a short step. All that a budget of 8 MiB must leave out comes in the
// shadow of the long step, if it is the right group.
const std::vector<Part> kParts = {{5, 1}, {4, 14}, {2, 0}};

struct TimedNet {
  explicit TimedNet(const std::vector<Part>& parts = kParts, Bytes budget = kBudget, int64_t slower = 1)
      : file(plan_of(parts)),
        x{random_tensor({3, 8}, 1)},
        device(std::make_shared<fake::SteadyDisk>(slower)),
        step_ns(table_of(parts, slower)) {
    auto resident = take(file.open(std::make_shared<fake::FakeDevice>(), {.weight_budget = gib(1)}));
    want = take(take(resident->make_context())->run(x))[0];
    engine =
        take(file.open(device, {.weight_budget = budget},
                       std::make_unique<TimedKernels>([this](int64_t ns) { device->advance(ns); }, step_ns)));
    context = take(engine->make_context({.threads = 1}));
  }
  void run(Context& with) {
    auto y = with.run(x);
    ASSERT_TRUE(y.ok()) << y.status().message();
    EXPECT_TRUE(same_bits((*y)[0], want));
  }
  void run(int times = 1) {
    for (int i = 0; i < times; ++i) run(*context);
  }
  int64_t last_ms() const { return (context->memory().last_run_ns + kMs / 2) / kMs; }
  Bytes streamed() const { return context->memory().streamed_last_run; }

  const TestFile file;
  const std::vector<Tensor> x;
  Tensor want;
  std::shared_ptr<fake::SteadyDisk> device;
  StepTable step_ns;
  std::shared_ptr<Engine> engine;
  std::shared_ptr<Context> context;
};

constexpr Bytes kFirst = mib(4), kBetter = mib(5);  // streamed in a run

TEST(EngineReplan, TakesTheBetterPlanOnceTimesAndLinkAreMeasured) {
  TimedNet net;
  net.run(3);
  EXPECT_EQ(net.streamed(), kFirst);
  EXPECT_EQ(net.last_ms(), 18);
  net.run(3);
  EXPECT_EQ(net.streamed(), kBetter);
  EXPECT_EQ(net.last_ms(), 15);  // the steps' own
  EXPECT_EQ(net.engine->weight_budget(), kBudget);
  EXPECT_LE(net.context->memory().resident, kBudget);
}

TEST(EngineReplan, LeavesBudgetsThatAreSetLaterToTheUser) {
  TimedNet net;
  net.run(6);
  ASSERT_TRUE(net.engine->set_weight_budget(gib(1)).ok());
  net.run();
  EXPECT_EQ(net.streamed(), Bytes{});
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(net.engine->set_weight_budget(Bytes{0}).ok());
    net.run(20);
    EXPECT_EQ(net.streamed(), net.engine->streamable());
    ASSERT_TRUE(net.engine->set_weight_budget(kBudget).ok());
    net.run();
    EXPECT_EQ(net.streamed(), kBetter);  // restored
  }
}

TEST(EngineReplan, MovesNothingForNoise) {
  TimedNet net;
  net.run(6);
  std::mt19937 random(1);
  Bytes brought = net.device->bytes_brought();
  for (int run = 0; run < 100; ++run) {
    for (size_t i = 0; i < kParts.size(); ++i) {
      (*net.step_ns)[i] = kParts[i].ms * kMs * (90 + static_cast<int64_t>(random() % 21)) / 100;
    }
    net.run();
    brought += net.streamed();
  }
  EXPECT_EQ(net.device->bytes_brought(), brought);  // it has read what streams, and nothing else
}

TEST(EngineReplan, FollowsStepsThatTakeAnotherTime) {
  TimedNet net;
  net.run(6);
  ASSERT_EQ(net.streamed(), kBetter);
  // The long step is the first now: nothing but the last weight comes in its shadow.
  *net.step_ns = {14 * kMs, 0, 0};
  net.run(40);
  EXPECT_NE(net.streamed(), kBetter);
}

TEST(EngineReplan, FollowsOneContextAndNotEachInTurn) {
  TimedNet net;
  auto other = take(net.engine->make_context({.threads = 1}));
  int moves = 0;
  Bytes latest = kFirst;
  for (int round = 0; round < 100; ++round) {
    *net.step_ns = {kMs, 14 * kMs, 0};
    net.run();
    moves += net.streamed() != std::exchange(latest, net.streamed());
    *net.step_ns = {14 * kMs, 0, 0};
    net.run(*other);
  }
  EXPECT_EQ(moves, 1);
  EXPECT_EQ(net.streamed(), kBetter);
}

TEST(EngineReplan, LeavesAllAsItIsWhereMemoryIsTooShort) {
  int failed = 0, moved = 0;
  for (int64_t nth = 0; nth < 5; ++nth) {
    TimedNet net;
    net.run(3);
    net.device->fail_allocation(nth);
    net.run();
    net.device->fail_allocation(-1);
    (net.streamed() == kFirst ? failed : moved)++;
    const Bytes then = net.streamed();
    net.run(40);
    EXPECT_EQ(net.streamed(), then) << "no second try without another pace";
    EXPECT_EQ(net.engine->weight_budget(), kBudget);
    const MemoryReport report = net.context->memory();
    EXPECT_EQ(report.device_used, report.resident + report.always_resident + report.scratch + report.arena);
    ASSERT_TRUE(net.engine->set_weight_budget(kBudget).ok());
    net.run();
    EXPECT_EQ(net.streamed(), kBetter);
  }
  EXPECT_GE(failed, 2);  // the weights, and the scratch for the others
  EXPECT_GE(moved, 1);
}

TEST(EngineReplan, TakesNoMemoryThatOthersNeed) {
  TimedNet net;
  std::vector<std::shared_ptr<Context>> others;
  for (int i = 0; i < 3; ++i) others.push_back(take(net.engine->make_context({.threads = 1})));
  for (const auto& other : others) net.run(*other);
  net.run(3);
  // Each context needs a scratch that is larger, of which there is room for one.
  net.device->set_memory_limit(net.device->used() + mib(1));
  net.run(3);
  EXPECT_EQ(net.streamed(), kFirst);
  for (const auto& other : others) net.run(*other);
}

TEST(EngineReplan, HoldsAMemoryLimit) {
  const std::vector<Part> parts = {{2, 1}, {2, 1}, {2, 1}, {5, 0}, {5, 0}, {5, 0},
                                   {5, 0}, {5, 0}, {1, 1}, {1, 1}, {1, 1}};
  int moves = 0;
  for (const Bytes limit : {mib(31), mib(33)}) {
    TimedNet net(parts, Bytes{0});
    ASSERT_TRUE(net.context->set_memory_limit(limit).ok());
    ASSERT_TRUE(net.engine->set_weight_budget(gib(1)).ok());
    const Bytes budget = net.engine->weight_budget();
    net.run(3);
    const Bytes before = net.streamed();
    net.device->reset_peak();
    net.run(6);
    moves += net.streamed() != before;
    EXPECT_LE(net.device->peak(), limit);
    EXPECT_EQ(net.engine->weight_budget(), budget);
  }
  EXPECT_GT(moves, 0);
}

TEST(EngineReplan, WaitsForALaterRunWhileOthersRun) {
  for (const int runs : {5, 40}) {
    TimedNet net;
    auto other = take(net.engine->make_context({.threads = 1}));
    net.run(*other);
    net.run(2);
    std::atomic<bool> entered = false, leave = false;
    other->set_progress([&](const ProgressEvent&) {
      entered = true;
      while (!leave) std::this_thread::yield();
      return true;
    });
    std::thread thread([&] { net.run(*other); });
    while (!entered) std::this_thread::yield();
    for (int run = 0; run < runs; ++run) {
      net.run();  // does not hang
      EXPECT_EQ(net.streamed(), kFirst);
    }
    leave = true;
    thread.join();
    net.run();
    // It tries at later runs, and waits once: for a while, since nobody knows how long others run.
    EXPECT_EQ(net.streamed(), runs == 5 ? kBetter : kFirst);
  }
}

TEST(EngineReplan, MovesNothingInsideAnothersRun) {
  TimedNet net;
  auto other = take(net.engine->make_context({.threads = 1}));
  net.run(2);
  other->set_progress([&](const ProgressEvent&) {
    net.run(6);  // the first of these settles the times
    EXPECT_EQ(net.streamed(), kFirst);
    return true;
  });
  net.run(*other);
  net.run();
  EXPECT_EQ(net.streamed(), kBetter);
}

TEST(EngineReplan, MovesBetweenTheRunsOfManyThreads) {
  TimedNet net(kParts, kBudget, 1000);  // whose runs it waits for, if need be, for half a minute
  net.run(3);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      auto own = take(net.engine->make_context({.threads = 1}));
      for (int run = 0; run < 40; ++run) net.run(*own);
      EXPECT_EQ(own->memory().streamed_last_run, kBetter);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(net.context->memory().resident, kBudget);
}

TEST(EngineReplan, AgreesWithTheResidentRunWhateverMoves) {
  int moves = 0;
  for (uint64_t seed = 8; seed < 22; ++seed) {
    std::mt19937_64 random(seed);
    const auto up_to = [&](int64_t most) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
    };
    std::vector<Part> parts = {{3 + up_to(3), 1}, {3 + up_to(2), 10 + up_to(8)}, {1 + up_to(2), 0}};
    if (up_to(1)) parts.push_back({1 + up_to(3), up_to(3)});
    int64_t all = 0;
    for (const Part& part : parts) all += part.mib;
    TimedNet net(parts, mib(all / 4 + up_to(all / 2)));
    Bytes latest;
    for (int run = 0; run < 8; ++run) {
      if (run % 4 == 0) std::shuffle(net.step_ns->begin(), net.step_ns->end(), random);
      net.run();
      moves += run > 0 && net.streamed() != latest;
      latest = net.streamed();
      const MemoryReport report = net.context->memory();
      EXPECT_LE(report.resident, report.weight_budget);
    }
  }
  EXPECT_GE(moves, 3);
}

}  // namespace
}  // namespace headrace::runtime
