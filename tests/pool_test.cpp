// Arena and scratch on a device that runs behind the host: what growth leaves as it is, and pools of several
// engines.
#include "runtime/pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>

#include "queued_net.h"

namespace headrace::runtime {
namespace {

using namespace nets;
using fake::FakeQueuedDevice;
using fake::FakeQueuedOptions;

// A net and its results for one row, and for the most.
struct Net {
  explicit Net(uint64_t seed) : file(seed) {
    Random random(seed);
    for (Case& one : resident_cases(file, random)) cases.push_back(std::move(one));
    while (cases.size() > 2 || rows(cases[0]) == rows(cases[1])) cases = two_sizes(random);
    if (rows(cases[0]) > rows(cases[1])) std::swap(cases[0], cases[1]);
  }
  const Case& few() const { return cases[0]; }
  const Case& many() const { return cases[1]; }

  NetFile file;
  std::vector<Case> cases;

 private:
  static int64_t rows(const Case& one) { return one.inputs[0].shape()[0]; }
  std::vector<Case> two_sizes(Random& random) {
    std::vector<Case> some = resident_cases(file, random);
    const auto [least, most] = std::minmax_element(
        some.begin(), some.end(), [](const Case& a, const Case& b) { return rows(a) < rows(b); });
    return {*least, *most};
  }
};

std::shared_ptr<FakeQueuedDevice> device_of(uint64_t seed, Bytes unit) {
  return std::make_shared<FakeQueuedDevice>(FakeQueuedOptions{.seed = seed, .unit = unit});
}

// Captures that running `one` again takes.
int64_t captures_of(Context& context, const FakeQueuedDevice& device, const Case& one, uint64_t seed) {
  const int64_t before = device.captures();
  for (int run = 0; run < 3; ++run) expect_case(context, one, seed);
  return device.captures() - before;
}

TEST(Arena, GrowsUnderCapturedRunsWhereAddressesAreReserved) {
  int grown = 0, moved = 0;
  for (uint64_t seed = 500; seed < 512; ++seed) {
    const Net net(seed);
    for (const bool reserves : {true, false}) {
      for (const bool streams : {true, false}) {
        auto device = device_of(seed, kib(reserves ? 4 : 0));
        auto engine = open_queued(net.file, device, Bytes{streams ? 0 : INT64_MAX});
        auto context = take(engine->make_context());
        EXPECT_EQ(captures_of(*context, *device, net.few(), seed), 1);
        const Bytes arena = context->memory().arena;
        EXPECT_EQ(captures_of(*context, *device, net.many(), seed), 1);
        if (context->memory().arena == arena) continue;
        const int64_t again = captures_of(*context, *device, net.few(), seed);
        if (reserves) {
          EXPECT_EQ(again, 0) << "seed " << seed;
        }
        grown += reserves;
        moved += !reserves && again > 0;
      }
    }
  }
  EXPECT_GT(grown, 8);
  EXPECT_GT(moved, 0);  // so it can be seen
}

TEST(Arena, GrowsUnderCapturedRunsInsideALimit) {
  int grown = 0;
  for (uint64_t seed = 520; seed < 532; ++seed) {
    const Net net(seed);
    auto device = device_of(seed, kib(4));
    auto engine = open_queued(net.file, device, Bytes{0});
    const Bytes most = take(engine->memory_need({{"s0", 8}}, 1)).most;
    auto context = take(engine->make_context({.memory_limit = most + kib(64)}));
    ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
    EXPECT_EQ(captures_of(*context, *device, net.few(), seed), 1);
    const Bytes arena = context->memory().arena;
    EXPECT_EQ(captures_of(*context, *device, net.many(), seed), 1);
    grown += context->memory().arena > arena;
    EXPECT_EQ(captures_of(*context, *device, net.few(), seed), 0);  // the same weights are resident
    EXPECT_LE(device->peak(), most + kib(64));
  }
  EXPECT_GT(grown, 4);
}

TEST(Arena, StaysAsItWasWhereItCannotGrow) {
  int failed = 0;
  for (uint64_t seed = 540; seed < 552; ++seed) {
    const Net net(seed);
    auto device = device_of(seed, kib(4));
    auto engine = open_queued(net.file, device, Bytes{0});
    auto context = take(engine->make_context());
    EXPECT_EQ(captures_of(*context, *device, net.few(), seed), 1);
    const MemoryReport before = context->memory();
    device->fail_allocation(0);
    const Status status = context->run(net.many().inputs).status();
    device->fail_allocation(-1);
    if (status.ok()) continue;  // it had room
    ++failed;
    EXPECT_EQ(status.code(), Code::kExhausted);
    EXPECT_NE(status.message().find("for the arena: the fake device failed"), std::string::npos)
        << status.message();
    EXPECT_EQ(context->memory().arena, before.arena);
    EXPECT_EQ(context->memory().device_used, before.device_used);
    EXPECT_EQ(captures_of(*context, *device, net.few(), seed), 0);
    expect_case(*context, net.many(), seed);
  }
  EXPECT_GT(failed, 4);
}

TEST(Pool, IsAsLargeAsTheEngineThatNeedsMost) {
  for (uint64_t seed = 560; seed < 568; ++seed) {
    const Net nets[] = {Net(seed), Net(seed + 100)};
    auto device = device_of(seed, kib(seed % 3 ? 4 : 0));
    Bytes arena, scratch, others;
    for (const Net& net : nets) {
      auto engine = open_queued(net.file, device, Bytes{0});
      auto context = take(engine->make_context());
      expect_case(*context, net.many(), seed);
      arena = std::max(arena, context->memory().arena);
      scratch = std::max(scratch, context->memory().scratch);
      others += context->memory().device_used - context->memory().arena - context->memory().scratch;
    }
    EXPECT_EQ(device->used(), Bytes{});
    const auto pool = std::make_shared<Pool>();
    {
      std::vector<std::shared_ptr<Context>> contexts;
      for (const Net& net : nets) {
        contexts.push_back(take(open_queued(net.file, device, Bytes{0})->make_context({.pool = pool})));
      }
      for (int round = 0; round < 3; ++round) {
        for (size_t i = 0; i < 2; ++i) expect_case(*contexts[i], nets[i].many(), seed);
      }
      EXPECT_EQ(pool->arena().size(), arena);
      EXPECT_EQ(pool->scratch().size(), scratch);
      EXPECT_EQ(device->used(), others + arena + scratch);
      EXPECT_EQ(contexts[0]->memory().arena, arena);
      EXPECT_EQ(contexts[0]->memory().device_used, device->used());
    }
    EXPECT_EQ(device->used(), Bytes{});
    EXPECT_EQ(device->failure().message(), "");
  }
}

TEST(Pool, KeepsCapturedRunsOfAllItsContexts) {
  for (uint64_t seed = 580; seed < 588; ++seed) {
    const Net nets[] = {Net(seed), Net(seed + 100)};
    auto device = device_of(seed, kib(4));
    const auto pool = std::make_shared<Pool>();
    std::vector<std::shared_ptr<Context>> contexts;
    for (const Net& net : nets) {
      contexts.push_back(take(open_queued(net.file, device, Bytes{0})->make_context({.pool = pool})));
    }
    EXPECT_EQ(captures_of(*contexts[0], *device, nets[0].few(), seed), 1);
    EXPECT_EQ(captures_of(*contexts[1], *device, nets[1].many(), seed), 1);
    EXPECT_EQ(captures_of(*contexts[0], *device, nets[0].many(), seed), 1);
    EXPECT_EQ(captures_of(*contexts[0], *device, nets[0].few(), seed), 0);
    EXPECT_EQ(captures_of(*contexts[1], *device, nets[1].many(), seed), 0);
    contexts.erase(contexts.begin());
    EXPECT_EQ(captures_of(*contexts[0], *device, nets[1].many(), seed), 0);
  }
}

// Calls return before their runs are over, on streams that know nothing of each other.
TEST(Pool, OrdersRunsThatAreNotOver) {
  for (uint64_t seed = 600; seed < 616; ++seed) {
    const Net nets[] = {Net(seed), Net(seed + 100)};
    Random random(seed);
    auto device = std::make_shared<FakeQueuedDevice>(FakeQueuedOptions{
        .seed = seed, .eager = static_cast<int>(seed % 4) * 20, .unit = kib(seed % 3 ? 4 : 0)});
    const auto pool = std::make_shared<Pool>();
    std::vector<std::unique_ptr<WorkQueue>> callers;
    std::vector<std::shared_ptr<Engine>> engines;
    std::vector<std::shared_ptr<Context>> contexts;
    for (const Net& net : nets) {
      callers.push_back(take(device->make_work_queue()));
      engines.push_back(open_queued(net.file, device, Bytes{0}));
      contexts.push_back(take(engines.back()->make_context({.pool = pool})));
      ASSERT_TRUE(contexts.back()->set_stream(callers.back().get()).ok());
    }
    for (int round = 0; round < 8; ++round) {
      std::vector<std::pair<size_t, std::unique_ptr<DeviceTensors>>> calls;
      for (int call = 0; call < 6; ++call) {
        const size_t i = random() % 2;
        const Case& one = nets[i].cases[random() % 2];
        calls.emplace_back(i, std::make_unique<DeviceTensors>(*device, *callers[i], one));
        calls.back().second->fill_inputs();
        const Status status =
            contexts[i]->run_into(calls.back().second->inputs, calls.back().second->outputs);
        ASSERT_TRUE(status.ok()) << status.message();
      }
      for (auto& [i, call] : calls) call->expect_outputs(fmt::format("seed {}, round {}", seed, round));
      const size_t changed = random() % 2;
      ASSERT_TRUE(engines[changed]->set_weight_budget(random_budget(*engines[changed], random)).ok());
    }
    for (auto& context : contexts) ASSERT_TRUE(context->set_stream(std::nullopt).ok());
    EXPECT_EQ(device->failure().message(), "");
  }
}

TEST(Pool, AgreesWhileThreadsTakeTurnsAndBudgetsChange) {
  for (uint64_t seed = 640; seed < 648; ++seed) {
    const Net nets[] = {Net(seed), Net(seed + 100)};
    Random random(seed);
    const bool host = seed % 4 == 0;
    std::shared_ptr<Device> device = std::make_shared<fake::FakeDevice>();
    auto queued = device_of(seed, kib(seed % 3 ? 4 : 0));
    if (!host) device = queued;
    const auto pool = std::make_shared<Pool>();
    std::vector<std::shared_ptr<Engine>> engines;
    for (const Net& net : nets) {
      engines.push_back(host ? net.file.open(device, Bytes{0}) : open_queued(net.file, device, Bytes{0}));
    }
    std::mutex turn;
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        Random own(seed * 31 + t);
        const Net& net = nets[t % 2];
        for (int some = 0; some < 3; ++some) {  // contexts come and go while others run
          auto context = take(engines[t % 2]->make_context({.threads = 1, .pool = pool}));
          for (int run = 0; run < 6; ++run) {
            const std::lock_guard lock(turn);
            expect_case(*context, net.cases[own() % 2], seed);
          }
        }
      });
    }
    for (int change = 0; change < 20; ++change) {
      Engine& engine = *engines[random() % 2];
      const Status status = engine.set_weight_budget(random_budget(engine, random));
      EXPECT_TRUE(status.ok()) << status.message();
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(pool->arena().size() + pool->scratch().size(), Bytes{});
    EXPECT_EQ(queued->failure().message(), "");
  }
}

TEST(Pool, RefusesRunsThatOverlap) {
  const Net nets[] = {Net(620), Net(621)};
  auto device = device_of(620, kib(4));
  const auto pool = std::make_shared<Pool>();
  auto one = take(open_queued(nets[0].file, device, Bytes{0})->make_context({.pool = pool}));
  auto other = take(open_queued(nets[1].file, device, Bytes{0})->make_context({.pool = pool}));
  Status inside;
  one->set_progress([&](const ProgressEvent&) {
    inside = other->run(nets[1].few().inputs).status();
    return true;
  });
  expect_case(*one, nets[0].few(), 620);
  EXPECT_EQ(inside.code(), Code::kInvalidArgument);
  EXPECT_EQ(inside.message(),
            "another context of this pool is running; contexts that run at the same time need a pool each");
  one->set_progress({});
  expect_case(*other, nets[1].few(), 620);
  expect_case(*one, nets[0].few(), 620);
}

TEST(Pool, IsOfOneDevice) {
  const Net net(630);
  const auto pool = std::make_shared<Pool>();
  auto engine = open_queued(net.file, device_of(1, kib(4)), Bytes{0});
  auto context = take(engine->make_context({.pool = pool}));
  EXPECT_TRUE(engine->make_context({.pool = pool}).ok());
  for (auto& another : {open_queued(net.file, device_of(2, kib(4)), Bytes{0}),
                        net.file.open(std::make_shared<fake::FakeDevice>(), Bytes{0})}) {
    const Status status = another->make_context({.pool = pool}).status();
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_EQ(status.message(),
              "this pool's memory is on another device than the engine; make a pool for each");
  }
  const Status limited = context->set_memory_limit(gib(1));
  EXPECT_EQ(limited.code(), Code::kUnsupported);
  EXPECT_EQ(limited.message(),
            "a memory limit is for what one context holds; a context in a shared pool can have none");
  EXPECT_FALSE(engine->make_context({.memory_limit = gib(1), .pool = pool}).ok());
}

}  // namespace
}  // namespace headrace::runtime
