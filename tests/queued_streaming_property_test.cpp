// The properties of streaming on a device that runs behind the host: whatever the net, the budget, the order
// in which the device does its work, and whether runs are captured, results are those of the resident run to
// the bit, and memory stays inside what the budget allows.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include "queued_net.h"

namespace headrace::runtime {
namespace {

using namespace nets;
using fake::FakeQueuedDevice;
using fake::FakeQueuedOptions;

constexpr Bytes kAll = {INT64_MAX};

// A net, its results, and an engine on the fake device with a context that runs it.
struct QueuedNet {
  explicit QueuedNet(uint64_t net_seed, Bytes budget = {}, FakeQueuedOptions options = {})
      : seed(net_seed), file(net_seed), random(net_seed), cases(resident_cases(file, random)) {
    options.seed = seed;
    device = std::make_shared<FakeQueuedDevice>(options);
    engine = open_queued(file, device, budget);
    context = take(engine->make_context());
  }
  const Case& any_case() { return cases[random() % cases.size()]; }
  Bytes any_budget() { return random_budget(*engine, random); }
  void expect(const Case& one) { expect_case(*context, one, seed); }
  void expect_all() {
    for (const Case& one : cases) expect(one);
  }

  const uint64_t seed;
  const NetFile file;
  Random random;
  const std::vector<Case> cases;
  std::shared_ptr<FakeQueuedDevice> device;
  std::shared_ptr<Engine> engine;
  std::shared_ptr<Context> context;
};

// One that runs on a stream of the caller's, with tensors on the device.
struct LentNet : QueuedNet {
  explicit LentNet(uint64_t seed, Bytes budget = {})
      : QueuedNet(seed, budget), caller(take(device->make_work_queue())) {
    EXPECT_TRUE(context->set_stream(caller.get()).ok());
  }
  ~LentNet() { EXPECT_TRUE(context->set_stream(std::nullopt).ok()); }
  DeviceTensors tensors_of(const Case& one) { return {*device, *caller, one}; }
  // Runs them, and tells how many copies that put on the queue.
  int64_t run(DeviceTensors& tensors) {
    tensors.fill_inputs();
    const int64_t before = device->copies();
    const Status status = context->run_into(tensors.inputs, tensors.outputs);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(caller->synchronize().ok());
    return device->copies() - before;
  }

  const std::unique_ptr<WorkQueue> caller;
};

TEST(QueuedStreaming, AgreesWithTheResidentRunUnderAnyBudget) {
  int streamed = 0;
  int64_t launches = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    QueuedNet net(seed, {}, {.pins_files = seed % 3 != 0, .unit = kib(seed % 4 ? 16 : 0)});
    for (int round = 0; round < 6; ++round) {
      const Bytes budget = net.any_budget(), before = net.engine->weight_budget();
      const Bytes scratch = net.context->memory().scratch;
      net.device->reset_peak();
      const Status changed = net.engine->set_weight_budget(budget);
      ASSERT_TRUE(changed.ok()) << changed.message();
      for (int again = 0; again < 3; ++again) net.expect_all();
      const MemoryReport report = net.context->memory();
      EXPECT_LE(report.resident, budget);
      streamed += report.streamed_last_run > Bytes{} && report.resident > Bytes{};
      EXPECT_LE(report.device_peak,
                std::max(before + scratch, budget + report.scratch) + report.arena + report.always_resident);
    }
    launches += net.device->launches();
  }
  EXPECT_GT(streamed, 20);   // rounds with some weights resident and some not
  EXPECT_GT(launches, 200);  // captured runs
}

TEST(QueuedStreaming, WorksInPlaceOnTensorsThatStay) {
  for (uint64_t seed = 70; seed < 80; ++seed) {
    LentNet net(seed, kAll);
    DeviceTensors here = net.tensors_of(net.cases[0]), there = net.tensors_of(net.cases[0]);
    int64_t copies_moving = 0, copies_fixed = 0;
    // Here until they are worked on in place, there, here and there in turn, and under other budgets.
    for (int run = 0; run < 40; ++run) {
      DeviceTensors& tensors = run < 12 || (run >= 16 && run % 2 == 0) || run >= 28 ? here : there;
      if (run >= 30) {
        ASSERT_TRUE(net.engine->set_weight_budget(net.any_budget()).ok());
      }
      const int64_t copies = net.run(tensors);
      if (run == 2) copies_moving = copies;
      if (run == 11) copies_fixed = copies;
      tensors.expect_outputs(fmt::format("seed {}, run {}", seed, run));
    }
    EXPECT_LT(copies_fixed, copies_moving) << "seed " << seed;
  }
}

TEST(QueuedStreaming, KeepsInputsThatAnOutputOverwritesUntilTheyAreRead) {
  for (uint64_t seed = 80; seed < 120; ++seed) {
    LentNet net(seed, kAll);
    DeviceTensors tensors = net.tensors_of(net.cases[0]);
    // The first output lies over the first input, as far as it goes.
    const Allocation both =
        take(net.device->allocate(std::max(tensors.inputs[0].size(), tensors.outputs[0].size()), "both"));
    const auto moved = [&](const Tensor& like) {
      return Tensor::borrow(both.data(), like.dtype(), like.shape());
    };
    tensors.inputs[0] = moved(tensors.inputs[0]);
    tensors.outputs[0] = moved(tensors.outputs[0]);
    for (int run = 0; run < 8; ++run) {
      EXPECT_GE(net.run(tensors), 2) << "both pass through places, seed " << seed;
      tensors.expect_outputs(fmt::format("seed {}, run {}", seed, run));
    }
  }
}

TEST(QueuedStreaming, RunsOnTensorsOfTheDeviceWhereverTheyLie) {
  for (uint64_t seed = 50; seed < 60; ++seed) {
    LentNet net(seed);
    for (int run = 0; run < 12; ++run) {  // fresh addresses each time
      DeviceTensors tensors = net.tensors_of(net.any_case());
      tensors.fill_inputs();
      const Status status = net.context->run_into(tensors.inputs, tensors.outputs);
      ASSERT_TRUE(status.ok()) << status.message();
      tensors.expect_outputs(fmt::format("seed {}, run {}", seed, run));  // in order on the stream
      if (run % 4 == 3) {
        ASSERT_TRUE(net.engine->set_weight_budget(net.any_budget()).ok());
      }
    }
  }
}

TEST(QueuedStreaming, StaysUsableAfterEveryCallThatFails) {
  int64_t failures = 0;
  for (uint64_t seed = 200; seed < 206; ++seed) {
    QueuedNet net(seed);
    for (int64_t nth = 0; nth < 60; ++nth) {
      if (nth % 2 == 0) {
        ASSERT_TRUE(net.engine->set_weight_budget(net.any_budget()).ok());
      }
      net.device->fail_call(nth % 30);
      failures += !net.context->run(net.cases[0].inputs).ok();
      net.device->fail_call(-1);
      net.expect(net.cases[0]);
    }
  }
  EXPECT_GT(failures, 60);
}

TEST(QueuedStreaming, TellsWhatFailedAndRunsOn) {
  int64_t failures = 0;
  for (uint64_t seed = 210; seed < 216; ++seed) {
    QueuedNet net(seed, {},
                  {.eager = static_cast<int>(seed % 3) * 40,
                   .pins_files = seed % 2 == 0,
                   .ring = kib(8),
                   .unit = kib(seed % 3 ? 16 : 0)});
    const auto run_after = [&](void (FakeQueuedDevice::*fail)(int64_t), int64_t nth) {
      ((*net.device).*fail)(nth);
      Status status = net.random() % 2 ? net.engine->set_weight_budget(net.any_budget()) : Status();
      if (status.ok()) status = net.context->run(net.cases[0].inputs).status();
      ((*net.device).*fail)(-1);
      net.device->heal();
      if (!status.ok()) {
        ++failures;
        EXPECT_TRUE(status.code() == Code::kUnavailable || status.code() == Code::kExhausted);
        EXPECT_NE(status.message().find("the fake device failed"), std::string::npos) << status.message();
      }
      for (int again = 0; again < 3; ++again) net.expect(net.cases[0]);
      EXPECT_EQ(net.device->failure().message(), "");
    };
    for (int64_t nth = 0; nth < 36; nth += 1 + static_cast<int64_t>(net.random() % 3)) {
      run_after(&FakeQueuedDevice::fail_copy, nth);
      run_after(&FakeQueuedDevice::fail_call, nth);
      run_after(&FakeQueuedDevice::fail_read, nth);
      run_after(&FakeQueuedDevice::fail_allocation, nth);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
  EXPECT_GT(failures, 80);
}

TEST(QueuedStreaming, AgreesWhileContextsRunTogetherAndBudgetsChange) {
  for (uint64_t seed = 100; seed < 108; ++seed) {
    QueuedNet net(seed, {}, {.eager = static_cast<int>(seed % 4) * 30, .pins_files = seed % 3 != 0});
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        Random own(seed * 31 + t);
        auto context = take(net.engine->make_context());
        for (int run = 0; run < 12; ++run) expect_case(*context, net.cases[own() % net.cases.size()], seed);
      });
    }
    for (int change = 0; change < 15; ++change) {
      const Status status = net.engine->set_weight_budget(net.any_budget());
      EXPECT_TRUE(status.ok()) << status.message();
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(net.device->failure().message(), "");
  }
}

TEST(QueuedStreaming, HoldsAMemoryLimit) {
  for (uint64_t seed = 300; seed < 308; ++seed) {
    const FakeQueuedOptions options = {.pins_files = seed % 3 != 0, .unit = kib(seed % 2 ? 16 : 0)};
    QueuedNet probe(seed, {}, options);
    const MemoryNeed need = take(probe.engine->memory_need({{"s0", 8}}, 1));
    for (int round = 0; round < 4; ++round) {
      const auto range = static_cast<uint64_t>((need.most - need.least).count + 1);
      const Bytes limit = need.least + Bytes{static_cast<int64_t>(probe.random() % range)};
      QueuedNet net(seed, {}, options);
      ASSERT_TRUE(net.context->set_memory_limit(limit).ok());
      ASSERT_TRUE(net.engine->set_weight_budget(net.engine->streamable()).ok());
      for (const Case& one : net.cases) {
        net.expect(one);
        ASSERT_TRUE(net.engine->set_weight_budget(probe.any_budget()).ok());
        net.expect(one);
      }
      EXPECT_LE(net.device->peak(), limit) << "seed " << seed;
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(QueuedStreaming, KeepsTheOldBudgetWhereMemoryRunsOut) {
  for (uint64_t seed = 300; seed < 306; ++seed) {
    QueuedNet net(seed);
    for (int64_t nth = 0; nth < 8; ++nth) {
      const Bytes before = net.engine->weight_budget();
      net.device->fail_allocation(nth);
      const Status status = net.engine->set_weight_budget(net.any_budget());
      net.device->fail_allocation(-1);
      if (!status.ok()) {
        EXPECT_EQ(net.engine->weight_budget(), before);
      }
      net.expect(net.cases[0]);
      EXPECT_LE(net.context->memory().resident, net.engine->weight_budget());
    }
  }
}

TEST(QueuedStreaming, PinsTheFileOnlyWhileSomethingStreams) {
  int streamed = 0;
  for (uint64_t seed = 400; seed < 408; ++seed) {
    QueuedNet net(seed, {}, {.pins_files = seed % 3 != 0, .ring = kib(8)});
    if (net.engine->streamable() == Bytes{}) continue;
    ++streamed;
    EXPECT_GT(net.context->memory().host_pinned, Bytes{});
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE(net.engine->set_weight_budget(net.engine->streamable()).ok());
      EXPECT_EQ(net.context->memory().host_pinned, Bytes{});
      net.expect_all();
      ASSERT_TRUE(net.engine->set_weight_budget(Bytes{0}).ok());
      EXPECT_GT(net.context->memory().host_pinned, Bytes{});
      net.expect_all();
    }
  }
  EXPECT_GE(streamed, 5);
}

TEST(QueuedStreaming, TellsAFileThatChangesBeforeARunReadsIt) {
  QueuedNet net(420);
  net.expect(net.cases[0]);
  std::filesystem::last_write_time(net.engine->file().path(),
                                   std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  const auto run = net.context->run(net.cases[0].inputs);
  ASSERT_FALSE(run.ok());
  EXPECT_EQ(run.status().code(), Code::kCorrupt);
  EXPECT_NE(run.status().message().find("was written to while it was open"), std::string::npos);
  EXPECT_EQ(net.engine->set_weight_budget(net.engine->streamable()).code(), Code::kCorrupt);
}

TEST(QueuedStreaming, ReadsNothingOfTheFileWhileAllIsResident) {
  QueuedNet net(421, kAll);
  net.expect(net.cases[0]);
  std::filesystem::resize_file(net.engine->file().path(), 100);
  net.expect(net.cases[0]);
  EXPECT_FALSE(net.engine->set_weight_budget(Bytes{0}).ok());
  EXPECT_EQ(net.engine->weight_budget(), net.engine->streamable());
  net.expect(net.cases[0]);
}

TEST(QueuedStreaming, ChargesWhatTheDriverTakesToTheLimit) {
  QueuedNet net(430);
  const MemoryNeed need = take(net.engine->memory_need({{"s0", 8}}, 1));
  ASSERT_GT(net.engine->streamable(), Bytes{});
  const Bytes limit = need.most + mib(32) - Bytes{net.engine->streamable().count / 2};
  ASSERT_TRUE(net.context->set_memory_limit(limit).ok());
  ASSERT_TRUE(net.engine->set_weight_budget(net.engine->streamable()).ok());
  net.expect(net.cases[0]);
  EXPECT_EQ(net.context->memory().resident, net.engine->streamable());
  net.device->set_driver_bytes(mib(1));  // charged as 32 MiB: the step that it is in, and the next one
  net.expect(net.cases[0]);
  EXPECT_LT(net.context->memory().resident, net.engine->streamable());
  EXPECT_LE(net.device->used() + mib(32), limit);
  EXPECT_EQ(net.context->memory().driver, mib(1));
  net.device->set_driver_bytes(mib(40));
  const auto run = net.context->run(net.cases[0].inputs);
  ASSERT_FALSE(run.ok());
  EXPECT_EQ(run.status().code(), Code::kExhausted);
  EXPECT_NE(run.status().message().find(", driver 64.0 MiB"), std::string::npos) << run.status().message();
}

}  // namespace
}  // namespace headrace::runtime
