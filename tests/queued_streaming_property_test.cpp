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

TEST(QueuedStreaming, AgreesWithTheResidentRunUnderAnyBudget) {
  int streamed = 0;
  int64_t launches = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const NetFile file(seed);
    Random random(seed + 1000);
    const std::vector<Case> cases = resident_cases(file, random);
    const FakeQueuedOptions options = {
        .seed = seed, .pins_files = seed % 3 != 0, .unit = kib(seed % 4 ? 16 : 0)};
    auto device = std::make_shared<FakeQueuedDevice>(options);
    auto engine = open_queued(file, device, Bytes{0});
    auto context = take(engine->make_context());
    for (int round = 0; round < 6; ++round) {
      const Bytes budget = random_budget(*engine, random), before = engine->weight_budget();
      const Bytes scratch = context->memory().scratch;
      device->reset_peak();
      const Status changed = engine->set_weight_budget(budget);
      ASSERT_TRUE(changed.ok()) << changed.message();
      for (int again = 0; again < 3; ++again) {
        for (const Case& one : cases) expect_case(*context, one, seed);
      }
      const MemoryReport report = context->memory();
      EXPECT_LE(report.resident, budget);
      streamed += report.streamed_last_run > Bytes{} && report.resident > Bytes{};
      EXPECT_LE(report.device_peak,
                std::max(before + scratch, budget + report.scratch) + report.arena + report.always_resident);
    }
    launches += device->launches();
  }
  EXPECT_GT(streamed, 20);   // rounds with some weights resident and some not
  EXPECT_GT(launches, 200);  // captured runs
}

TEST(QueuedStreaming, WorksInPlaceOnTensorsThatStay) {
  for (uint64_t seed = 70; seed < 80; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    auto device = std::make_shared<FakeQueuedDevice>(FakeQueuedOptions{.seed = seed});
    auto engine = open_queued(file, device, Bytes{int64_t{1} << 40});
    auto context = take(engine->make_context());
    auto caller = take(device->make_work_queue());
    ASSERT_TRUE(context->set_stream(caller.get()).ok());
    DeviceTensors here(*device, *caller, cases[0]), there(*device, *caller, cases[0]);
    int64_t copies_moving = 0, copies_fixed = 0;
    // Here until they are worked on in place, there, here and there in turn, and under other budgets.
    for (int run = 0; run < 40; ++run) {
      DeviceTensors& tensors = run < 12 || (run >= 16 && run % 2 == 0) || run >= 28 ? here : there;
      if (run >= 30) {
        ASSERT_TRUE(engine->set_weight_budget(random_budget(*engine, random)).ok());
      }
      tensors.fill_inputs();
      const int64_t before = device->copies();
      const Status status = context->run_into(tensors.inputs, tensors.outputs);
      ASSERT_TRUE(status.ok()) << status.message();
      ASSERT_TRUE(caller->synchronize().ok());
      if (run == 2) copies_moving = device->copies() - before;
      if (run == 11) copies_fixed = device->copies() - before;
      tensors.expect_outputs(fmt::format("seed {}, run {}", seed, run));
    }
    EXPECT_LT(copies_fixed, copies_moving) << "seed " << seed;
    ASSERT_TRUE(context->set_stream(std::nullopt).ok());
  }
}

TEST(QueuedStreaming, KeepsInputsThatAnOutputOverwritesUntilTheyAreRead) {
  for (uint64_t seed = 80; seed < 120; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const Case one = resident_cases(file, random)[0];
    auto device = std::make_shared<FakeQueuedDevice>(FakeQueuedOptions{.seed = seed});
    auto engine = open_queued(file, device, Bytes{int64_t{1} << 40});
    auto context = take(engine->make_context());
    auto caller = take(device->make_work_queue());
    ASSERT_TRUE(context->set_stream(caller.get()).ok());
    DeviceTensors tensors(*device, *caller, one);
    // The first output lies over the first input, as far as it goes.
    const Allocation both =
        take(device->allocate(std::max(tensors.inputs[0].size(), tensors.outputs[0].size()), "both"));
    const auto moved = [&](const Tensor& like) {
      return Tensor::borrow(both.data(), like.dtype(), like.shape());
    };
    tensors.inputs[0] = moved(tensors.inputs[0]);
    tensors.outputs[0] = moved(tensors.outputs[0]);
    for (int run = 0; run < 8; ++run) {
      tensors.fill_inputs();
      const int64_t before = device->copies();
      const Status status = context->run_into(tensors.inputs, tensors.outputs);
      ASSERT_TRUE(status.ok()) << status.message();
      ASSERT_TRUE(caller->synchronize().ok());
      EXPECT_GE(device->copies() - before, 2) << "both pass through places, seed " << seed;
      tensors.expect_outputs(fmt::format("seed {}, run {}", seed, run));
    }
    ASSERT_TRUE(context->set_stream(std::nullopt).ok());
  }
}

TEST(QueuedStreaming, RunsOnTensorsOfTheDeviceWhereverTheyLie) {
  for (uint64_t seed = 50; seed < 60; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    auto device = std::make_shared<FakeQueuedDevice>(FakeQueuedOptions{.seed = seed});
    auto engine = open_queued(file, device, Bytes{0});
    auto context = take(engine->make_context());
    auto caller = take(device->make_work_queue());
    ASSERT_TRUE(context->set_stream(caller.get()).ok());
    for (int run = 0; run < 12; ++run) {  // fresh addresses each time
      const Case& one = cases[random() % cases.size()];
      DeviceTensors tensors(*device, *caller, one);
      tensors.fill_inputs();
      const Status status = context->run_into(tensors.inputs, tensors.outputs);
      ASSERT_TRUE(status.ok()) << status.message();
      tensors.expect_outputs(fmt::format("seed {}, run {}", seed, run));
      if (run % 4 == 3) {
        ASSERT_TRUE(engine->set_weight_budget(random_budget(*engine, random)).ok());
      }
    }
    ASSERT_TRUE(context->set_stream(std::nullopt).ok());
  }
}

TEST(QueuedStreaming, StaysUsableAfterEveryCallThatFails) {
  int64_t failures = 0;
  for (uint64_t seed = 200; seed < 206; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    auto device = std::make_shared<FakeQueuedDevice>(FakeQueuedOptions{.seed = seed});
    auto engine = open_queued(file, device, Bytes{0});
    auto context = take(engine->make_context());
    const Case& one = cases[0];
    for (int64_t nth = 0; nth < 60; ++nth) {
      if (nth % 2 == 0) {
        ASSERT_TRUE(engine->set_weight_budget(random_budget(*engine, random)).ok());
      }
      device->fail_call(nth % 30);
      failures += !context->run(one.inputs).ok();
      device->fail_call(-1);
      expect_case(*context, one, seed);
    }
  }
  EXPECT_GT(failures, 60);
}

TEST(QueuedStreaming, TellsWhatFailedAndRunsOn) {
  int64_t failures = 0;
  for (uint64_t seed = 210; seed < 216; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    FakeQueuedOptions options = {
        .seed = seed, .pins_files = seed % 2 == 0, .ring = kib(8), .unit = kib(seed % 3 ? 16 : 0)};
    options.eager = static_cast<int>(seed % 3) * 40;
    auto device = std::make_shared<FakeQueuedDevice>(options);
    auto engine = open_queued(file, device, Bytes{0});
    auto context = take(engine->make_context());
    const auto run_after = [&](void (FakeQueuedDevice::*fail)(int64_t), int64_t nth) {
      ((*device).*fail)(nth);
      Status status = random() % 2 ? engine->set_weight_budget(random_budget(*engine, random)) : Status();
      if (status.ok()) status = context->run(cases[0].inputs).status();
      ((*device).*fail)(-1);
      device->heal();
      if (!status.ok()) {
        ++failures;
        EXPECT_TRUE(status.code() == Code::kUnavailable || status.code() == Code::kExhausted);
        EXPECT_NE(status.message().find("the fake device failed"), std::string::npos) << status.message();
      }
      for (int again = 0; again < 3; ++again) expect_case(*context, cases[0], seed);
      EXPECT_EQ(device->failure().message(), "");
    };
    for (int64_t nth = 0; nth < 36; nth += 1 + static_cast<int64_t>(random() % 3)) {
      run_after(&FakeQueuedDevice::fail_copy, nth);
      run_after(&FakeQueuedDevice::fail_call, nth);
      run_after(&FakeQueuedDevice::fail_read, nth);
      run_after(&FakeQueuedDevice::fail_allocation, nth);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  EXPECT_GT(failures, 80);
}

TEST(QueuedStreaming, AgreesWhileContextsRunTogetherAndBudgetsChange) {
  for (uint64_t seed = 100; seed < 108; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    auto device = std::make_shared<FakeQueuedDevice>(FakeQueuedOptions{
        .seed = seed, .eager = static_cast<int>(seed % 4) * 30, .pins_files = seed % 3 != 0});
    auto engine = open_queued(file, device, Bytes{0});
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        Random own(seed * 31 + t);
        auto context = take(engine->make_context());
        for (int run = 0; run < 12; ++run) expect_case(*context, cases[own() % cases.size()], seed);
      });
    }
    for (int change = 0; change < 15; ++change) {
      const Status status = engine->set_weight_budget(random_budget(*engine, random));
      EXPECT_TRUE(status.ok()) << status.message();
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(device->failure().message(), "");
  }
}

TEST(QueuedStreaming, HoldsAMemoryLimit) {
  for (uint64_t seed = 300; seed < 308; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    const FakeQueuedOptions options = {
        .seed = seed, .pins_files = seed % 3 != 0, .unit = kib(seed % 2 ? 16 : 0)};
    auto probe = open_queued(file, std::make_shared<FakeQueuedDevice>(options), Bytes{0});
    const MemoryNeed need = take(probe->memory_need({{"s0", 8}}, 1));
    for (int round = 0; round < 4; ++round) {
      const auto range = static_cast<uint64_t>((need.most - need.least).count + 1);
      const Bytes limit = need.least + Bytes{static_cast<int64_t>(random() % range)};
      auto device = std::make_shared<FakeQueuedDevice>(options);
      auto engine = open_queued(file, device, Bytes{0});
      auto context = take(engine->make_context({.memory_limit = limit}));
      ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
      for (const Case& one : cases) {
        expect_case(*context, one, seed);
        ASSERT_TRUE(engine->set_weight_budget(random_budget(*engine, random)).ok());
        expect_case(*context, one, seed);
      }
      EXPECT_LE(device->peak(), limit) << "seed " << seed;
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(QueuedStreaming, KeepsTheOldBudgetWhereMemoryRunsOut) {
  for (uint64_t seed = 300; seed < 306; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    auto device = std::make_shared<FakeQueuedDevice>(FakeQueuedOptions{.seed = seed});
    auto engine = open_queued(file, device, Bytes{0});
    auto context = take(engine->make_context());
    for (int64_t nth = 0; nth < 8; ++nth) {
      const Bytes before = engine->weight_budget();
      device->fail_allocation(nth);
      const Status status = engine->set_weight_budget(random_budget(*engine, random));
      device->fail_allocation(-1);
      if (!status.ok()) {
        EXPECT_EQ(engine->weight_budget(), before);
      }
      expect_case(*context, cases[0], seed);
      EXPECT_LE(context->memory().resident, engine->weight_budget());
    }
  }
}

TEST(QueuedStreaming, PinsTheFileOnlyWhileSomethingStreams) {
  int streamed = 0;
  for (uint64_t seed = 400; seed < 408; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const std::vector<Case> cases = resident_cases(file, random);
    auto device = std::make_shared<FakeQueuedDevice>(
        FakeQueuedOptions{.seed = seed, .pins_files = seed % 3 != 0, .ring = kib(8)});
    auto engine = open_queued(file, device, Bytes{0});
    auto context = take(engine->make_context());
    if (engine->streamable() == Bytes{}) continue;
    ++streamed;
    EXPECT_GT(context->memory().host_pinned, Bytes{});
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
      EXPECT_EQ(context->memory().host_pinned, Bytes{});
      for (const Case& one : cases) expect_case(*context, one, seed);
      ASSERT_TRUE(engine->set_weight_budget(Bytes{0}).ok());
      EXPECT_GT(context->memory().host_pinned, Bytes{});
      for (const Case& one : cases) expect_case(*context, one, seed);
    }
  }
  EXPECT_GE(streamed, 5);
}

TEST(QueuedStreaming, TellsAFileThatChangesBeforeARunReadsIt) {
  const NetFile file(420);
  Random random(420);
  const std::vector<Case> cases = resident_cases(file, random);
  auto engine = open_queued(file, std::make_shared<FakeQueuedDevice>(), Bytes{0});
  auto context = take(engine->make_context());
  expect_case(*context, cases[0], 420);
  std::filesystem::last_write_time(engine->file().path(),
                                   std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  const auto run = context->run(cases[0].inputs);
  ASSERT_FALSE(run.ok());
  EXPECT_EQ(run.status().code(), Code::kCorrupt);
  EXPECT_NE(run.status().message().find("was written to while it was open"), std::string::npos);
  EXPECT_EQ(engine->set_weight_budget(engine->streamable()).code(), Code::kCorrupt);
}

TEST(QueuedStreaming, ReadsNothingOfTheFileWhileAllIsResident) {
  const NetFile file(421);
  Random random(421);
  const std::vector<Case> cases = resident_cases(file, random);
  auto engine = open_queued(file, std::make_shared<FakeQueuedDevice>(), Bytes{INT64_MAX});
  auto context = take(engine->make_context());
  expect_case(*context, cases[0], 421);
  std::filesystem::resize_file(engine->file().path(), 100);
  expect_case(*context, cases[0], 421);
  EXPECT_FALSE(engine->set_weight_budget(Bytes{0}).ok());
  EXPECT_EQ(engine->weight_budget(), engine->streamable());
  expect_case(*context, cases[0], 421);
}

TEST(QueuedStreaming, ChargesWhatTheDriverTakesToTheLimit) {
  const NetFile file(430);
  Random random(430);
  const std::vector<Case> cases = resident_cases(file, random);
  auto device = std::make_shared<FakeQueuedDevice>();
  auto engine = open_queued(file, device, Bytes{0});
  const MemoryNeed need = take(engine->memory_need({{"s0", 8}}, 1));
  ASSERT_GT(engine->streamable(), Bytes{});
  const Bytes limit = need.most + mib(32) - Bytes{engine->streamable().count / 2};
  auto context = take(engine->make_context({.memory_limit = limit}));
  ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
  expect_case(*context, cases[0], 430);
  EXPECT_EQ(context->memory().resident, engine->streamable());
  device->set_driver_bytes(mib(1));  // charged as 32 MiB: the step that it is in, and the next one
  expect_case(*context, cases[0], 430);
  EXPECT_LT(context->memory().resident, engine->streamable());
  EXPECT_LE(device->used() + mib(32), limit);
  EXPECT_EQ(context->memory().driver, mib(1));
  device->set_driver_bytes(mib(40));
  const auto run = context->run(cases[0].inputs);
  ASSERT_FALSE(run.ok());
  EXPECT_EQ(run.status().code(), Code::kExhausted);
  EXPECT_NE(run.status().message().find(", driver 64.0 MiB"), std::string::npos) << run.status().message();
}

}  // namespace
}  // namespace headrace::runtime
