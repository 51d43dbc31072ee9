#include "runtime/engine.h"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "device/fake/fake_device.h"
#include "runtime/testing.h"

namespace headrace::runtime {
namespace {

using testing::MixExecutable;
using testing::MixKernels;
using testing::PlanMaker;
using testing::random_tensor;
using testing::same_bits;
using testing::take;
using testing::TestFile;

// Twelve groups of about 100 KiB, one small one that always stays, and a table of rows.
PlanMaker twelve_groups() {
  PlanMaker maker;
  const int32_t small = maker.add_group({4096, 260}, false);
  const int32_t rows = maker.add_group({64 * 5000}, true, WeightUse::kRows);
  maker.add_step({rows, small});
  for (int i = 0; i < 12; ++i) {
    const int32_t weight = maker.add_group({100 * 1024 + 4 * i, 300});
    maker.add_step({weight, weight + 1, small + 1});
  }
  maker.add_output();
  return maker;
}

std::shared_ptr<fake::FakeDevice> fake_device(fake::FakeOptions options = {}) {
  return std::make_shared<fake::FakeDevice>(options);
}

TEST(Engine, GivesTheSameBitsWithAnyBudget) {
  const TestFile file(twelve_groups().plan);
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  for (const bool host : {true, false}) {
    std::shared_ptr<Device> device = host ? std::shared_ptr<Device>(make_host_device()) : fake_device();
    auto engine = take(file.open(device, {.weight_budget = Bytes{INT64_MAX}}));
    EXPECT_EQ(engine->weight_budget(), engine->streamable());
    auto context = take(engine->make_context());
    const Tensor want = take(context->run(x))[0];
    EXPECT_EQ(context->memory().streamed_last_run, Bytes{0});
    EXPECT_EQ(context->memory().scratch, Bytes{0});
    for (int64_t share = 10; share >= 0; --share) {
      const Bytes budget = {engine->streamable().count * share / 10};
      ASSERT_TRUE(engine->set_weight_budget(budget).ok());
      EXPECT_TRUE(same_bits(take(context->run(x))[0], want)) << share;
      const MemoryReport report = context->memory();
      EXPECT_EQ(report.weight_budget, budget);
      EXPECT_LE(report.resident, budget);
      EXPECT_EQ(report.streamable, engine->streamable());
      EXPECT_EQ(report.device_used, device->used());
      EXPECT_EQ(report.device_used, report.resident + report.always_resident + report.scratch + report.arena);
      EXPECT_EQ(report.streamed_last_run > Bytes{0}, share < 10);
    }
    EXPECT_EQ(context->memory().resident, Bytes{0});
  }
}

TEST(Engine, MovesOnlyTheBytesThatDiffer) {
  const TestFile file(twelve_groups().plan);
  auto device = fake_device();
  auto engine = take(file.open(device, {.weight_budget = Bytes{0}}));
  const Bytes always = device->bytes_read();
  ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
  EXPECT_EQ(device->bytes_read(), always + engine->streamable());
  ASSERT_TRUE(engine->set_weight_budget(engine->streamable() - Bytes{1}).ok());
  ASSERT_TRUE(engine->set_weight_budget(Bytes{0}).ok());
  EXPECT_EQ(device->bytes_read(), always + engine->streamable());
  EXPECT_EQ(engine->set_weight_budget(Bytes{-1}).message(), "a weight budget is not negative: -1 bytes");
  EXPECT_EQ(engine->weight_budget(), Bytes{0});
}

TEST(Engine, KeepsItsBudgetWhenReadsFailAndNamesTheWeight) {
  const TestFile file(twelve_groups().plan);
  auto device = fake_device();
  auto engine = take(file.open(device, {.weight_budget = Bytes{0}}));
  const Bytes empty = device->used();
  for (int nth = 0; nth < 13; ++nth) {
    device->fail_read(nth);
    const Status status = engine->set_weight_budget(engine->streamable());
    EXPECT_EQ(status.code(), Code::kUnavailable);
    EXPECT_EQ(status.message().rfind("weight 'w", 0), 0u) << status.message();
    EXPECT_EQ(engine->weight_budget(), Bytes{0});
    EXPECT_EQ(device->used(), empty);
  }
  device->fail_allocation(5);
  EXPECT_EQ(engine->set_weight_budget(engine->streamable()).code(), Code::kExhausted);
  EXPECT_EQ(device->used(), empty);
  ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
  // Lowering to another set: what was resident is so again after the failure.
  const Bytes full = device->used();
  EXPECT_FALSE(engine->weight_budget_is_auto());
  EXPECT_EQ(device->used(), full);
}

TEST(Engine, BecomesAutomaticAndLeavesRoom) {
  const TestFile file(twelve_groups().plan);
  auto device = fake_device({.memory_limit = mib(72)});  // 64 MiB and a tenth are margin
  auto engine = take(file.open(device));
  EXPECT_TRUE(engine->weight_budget_is_auto());
  EXPECT_LT(engine->weight_budget(), engine->streamable());
  EXPECT_EQ(engine->weight_budget(), engine->automatic_weight_budget());
  device->set_memory_limit(mib(500));
  ASSERT_TRUE(engine->set_weight_budget(std::nullopt).ok());
  EXPECT_EQ(engine->weight_budget(), engine->streamable());
  ASSERT_TRUE(engine->set_weight_budget(Bytes{0}).ok());
  EXPECT_FALSE(engine->weight_budget_is_auto());
}

TEST(Engine, GivesWayToAnArenaWhileItsBudgetIsAutomatic) {
  PlanMaker maker(64 * 1024);  // 256 KiB a row
  for (int i = 0; i < 64; ++i) maker.add_step({maker.add_group({1 << 20})});
  maker.add_output();
  const TestFile file(maker.plan);
  auto device = fake_device({.memory_limit = mib(150)});
  auto engine = take(file.open(device));
  EXPECT_EQ(engine->weight_budget(), engine->streamable());
  auto context = take(engine->make_context());
  device->set_memory_limit(mib(80));  // another process took memory
  const std::vector<Tensor> x = {random_tensor({64, 64 * 1024}, 1)};
  ASSERT_TRUE(context->run(x).ok());
  EXPECT_LT(engine->weight_budget(), engine->streamable());
  ASSERT_TRUE(engine->set_weight_budget(Bytes{0}).ok());
  device->set_memory_limit(mib(40));
  auto other = take(engine->make_context());
  EXPECT_EQ(other->run(x).status().code(), Code::kExhausted);
}

TEST(Engine, CanBeCancelledWhileItLoads) {
  const TestFile file(twelve_groups().plan);
  auto device = fake_device();
  int calls = 0;
  EngineOptions options;
  options.weight_budget = gib(1);
  options.progress = [&](const ProgressEvent& event) {
    EXPECT_EQ(event.phase, "load weights");
    EXPECT_LE(event.done, event.total);
    return ++calls < 4;
  };
  auto engine = file.open(device, options);
  EXPECT_EQ(engine.status().code(), Code::kUnavailable);
  EXPECT_EQ(engine.status().message(), "cancelled");
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(device->used(), Bytes{0});
}

TEST(Context, NamesTheWeightOfAReadThatFailsAndRunsAgain) {
  const TestFile file(twelve_groups().plan);
  auto device = fake_device();
  auto engine = take(file.open(device, {.weight_budget = kib(300)}));
  auto context = take(engine->make_context());
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  const int64_t before = device->reads();
  const Tensor want = take(context->run(x))[0];
  const int64_t reads = device->reads() - before;
  ASSERT_GT(reads, 5);
  for (int64_t nth = 0; nth < reads; ++nth) {
    device->fail_reads_from(nth);
    Status status = context->run(x).status();
    if (status.ok()) status = context->run(x).status();  // it had its weights; the next one had not
    EXPECT_EQ(status.code(), Code::kUnavailable) << nth;
    EXPECT_NE(status.message().find("weight 'w"), std::string::npos) << status.message();
    device->fail_reads_from(-1);
    EXPECT_TRUE(same_bits(take(context->run(x))[0], want)) << nth;
  }
}

TEST(Context, SaysSoWhenItsFileShrankOrChanged) {
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  for (const bool shrink : {true, false}) {
    const TestFile file(twelve_groups().plan);
    auto engine = take(file.open(std::shared_ptr<Device>(make_host_device()), {.weight_budget = Bytes{0}}));
    auto context = take(engine->make_context());
    ASSERT_TRUE(context->run(x).ok());
    if (shrink) {
      std::filesystem::resize_file(file.path(), 500000);
    } else {
      std::fstream(file.path(), std::ios::in | std::ios::out).seekp(600000).put('x');
    }
    const Status status = context->run(x).status();
    EXPECT_EQ(status.code(), Code::kCorrupt);
    EXPECT_NE(status.message().find(file.path().string()), std::string::npos) << status.message();
    EXPECT_NE(status.message().find("open it again"), std::string::npos) << status.message();
    EXPECT_EQ(engine->set_weight_budget(engine->streamable()).code(), Code::kCorrupt);
  }
}

TEST(Context, RunsOnWhenItsFileIsReplacedOrRemoved) {
  const TestFile file(twelve_groups().plan), other(twelve_groups().plan, 99);
  auto engine = take(file.open(std::shared_ptr<Device>(make_host_device()), {.weight_budget = Bytes{0}}));
  auto context = take(engine->make_context());
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  const Tensor want = take(context->run(x))[0];
  std::filesystem::rename(other.path(), file.path());
  EXPECT_TRUE(same_bits(take(context->run(x))[0], want));
  std::filesystem::remove(file.path());
  auto late = take(engine->make_context());
  EXPECT_TRUE(same_bits(take(late->run(x))[0], want));
  ASSERT_TRUE(engine->set_weight_budget(engine->streamable()).ok());
  EXPECT_TRUE(same_bits(take(late->run(x))[0], want));
}

TEST(Context, RunsBesideOthersWhileBudgetsChange) {
  const TestFile file(twelve_groups().plan);
  auto device = fake_device();
  auto engine = take(file.open(device, {.weight_budget = kib(500)}));
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  const Tensor want = take(take(engine->make_context())->run(x))[0];
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      auto context = take(engine->make_context());
      for (int run = 0; run < 20; ++run) {
        EXPECT_TRUE(same_bits(take(context->run(x))[0], want));
        EXPECT_LE(context->memory().resident, engine->streamable());
      }
    });
  }
  for (int64_t i = 0; i < 30; ++i) {
    EXPECT_TRUE(engine->set_weight_budget(Bytes{engine->streamable().count * (i * 7 % 11) / 10}).ok());
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Context, RefusesASecondRunAtTheSameTime) {
  const TestFile file(twelve_groups().plan);
  auto engine = take(file.open(fake_device(), {.weight_budget = Bytes{0}}));
  auto context = take(engine->make_context());
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  Status inner;
  context->set_progress([&](const ProgressEvent&) {
    inner = context->run(x).status();
    return true;
  });
  ASSERT_TRUE(context->run(x).ok());
  EXPECT_EQ(inner.message(), "this context is running already; make one context for each thread");
  context->set_progress([](const ProgressEvent& event) { return event.done < 5; });
  EXPECT_EQ(context->run(x).status().message(), "cancelled");
  context->set_progress({});
  EXPECT_TRUE(context->run(x).ok());
}

TEST(Context, MayRunAnotherInsideItsRunButNotChangeTheBudget) {
  const TestFile file(twelve_groups().plan);
  auto engine = take(file.open(fake_device(), {.weight_budget = Bytes{0}}));
  auto outer = take(engine->make_context()), inner = take(engine->make_context());
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  Status change;
  outer->set_progress([&](const ProgressEvent&) {
    EXPECT_TRUE(inner->run(x).ok());
    change = engine->set_weight_budget(engine->streamable());
    return true;
  });
  EXPECT_TRUE(outer->run(x).ok());
  EXPECT_EQ(change.message(), "a weight budget cannot change inside a run (from its progress callback)");
  EXPECT_EQ(engine->weight_budget(), Bytes{0});
}

TEST(Context, TakesStridedInputsAndOutputs) {
  const TestFile file(twelve_groups().plan);
  auto engine = take(file.open(fake_device(), {.weight_budget = kib(200)}));
  auto context = take(engine->make_context());
  const Tensor x = random_tensor({3, 8}, 1);
  const Tensor want = take(context->run(std::vector{x}))[0];
  Tensor memory = random_tensor({8, 3}, 5), out_memory = random_tensor({8, 6}, 6);
  const Tensor transposed = Tensor::borrow(memory.data(), DType::kF32, {3, 8}, {1, 3});
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 8; ++j) memory.as<float>()[j * 3 + i] = x.as<float>()[i * 8 + j];
  }
  const Tensor out = Tensor::borrow(out_memory.data(), DType::kF32, {3, 8}, {2, 6});
  ASSERT_TRUE(context->run_into(std::vector{transposed}, std::vector{out}).ok());
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 8; ++j) {
      EXPECT_EQ(out_memory.as<float>()[j * 6 + i * 2], want.as<float>()[i * 8 + j]);
    }
  }
  // In place of its own input.
  ASSERT_TRUE(context->run_into(std::vector{x}, std::vector{x}).ok());
  EXPECT_TRUE(same_bits(x, want));
}

TEST(Context, SaysWhatIsWrongWithAnOutput) {
  const TestFile file(twelve_groups().plan);
  auto engine = take(file.open(fake_device()));
  auto context = take(engine->make_context());
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  EXPECT_EQ(context->run(x, std::vector{random_tensor({3, 9}, 1)}).status().message(),
            "output 'y0' is f32 [3, 8]; the tensor to write it to is f32 [3, 9]");
  EXPECT_EQ(context->run_into(x, {}).message(),
            "the engine has 1 outputs; 0 tensors were given to write them to");
  EXPECT_EQ(context->run_into(x, std::vector{Tensor::borrow(nullptr, DType::kF32, {3, 8})}).message(),
            "output 'y0': the tensor to write it to has no memory");
  EXPECT_TRUE(context->run(x, std::vector{Tensor()}).ok());
}

TEST(Context, DeliversOutputsThatAreInputsWeightsLiteralsAndNumbers) {
  PlanMaker maker;
  const int32_t streamed = maker.add_group({80000});
  const int32_t later = maker.add_group({90000});
  const TensorIndex x = maker.latest();
  maker.add_step({streamed});
  maker.add_output();
  maker.add_output_of(maker.latest(), "again");
  maker.add_step({later});
  maker.add_output_of(maker.latest(), "in_arena");
  maker.add_output_of(x, "x_again");
  maker.add_output_of(maker.weight_tensor(streamed), "weight");
  const float seven = 7;
  Literal literal{DType::kF32, {1}, std::vector<std::byte>(4)};
  std::memcpy(literal.bytes.data(), &seven, 4);
  maker.plan.literals.push_back(literal);
  maker.add_output_of(maker.add_tensor(maker.add_buffer(BufferKind::kLiteral, Dim(4), 0), {Dim(1)}), "seven");
  OutputSpec number;
  number.kind = OutputKind::kNumber;
  number.number = Dim::symbol("n") * Dim(2);
  maker.plan.outputs.push_back(number);
  OutputSpec none;
  none.kind = OutputKind::kNoneValue;
  maker.plan.outputs.push_back(none);

  const TestFile file(maker.plan);
  auto engine = take(file.open(fake_device(), {.weight_budget = gib(1)}));
  auto context = take(engine->make_context());
  const std::vector<Tensor> input = {random_tensor({5, 8}, 3)};
  const auto want = take(context->run(input));
  ASSERT_TRUE(engine->set_weight_budget(Bytes{0}).ok());
  const auto got = take(context->run(input));
  ASSERT_EQ(got.size(), 8u);
  for (size_t i = 0; i < 6; ++i) EXPECT_TRUE(same_bits(got[i], want[i])) << i;
  EXPECT_TRUE(same_bits(got[0], got[1]));
  EXPECT_TRUE(same_bits(got[3], input[0]));
  EXPECT_NE(got[3].data(), input[0].data());
  EXPECT_EQ(got[4].shape(), Sizes{20000});
  EXPECT_EQ(got[5].as<float>()[0], 7.0f);
  EXPECT_EQ(got[6].as<int64_t>()[0], 10);
  EXPECT_EQ(got[7].data(), nullptr);
  const auto shapes = take(context->output_shapes(take(context->bind(input))));
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(shapes[i], got[i].shape());
}

TEST(Context, KeepsAFewShapesPrepared) {
  const TestFile file(twelve_groups().plan);
  auto engine = take(file.open(fake_device()));
  auto context = take(engine->make_context({.prepared_shapes = 2}));
  const auto run = [&](int64_t n) { EXPECT_TRUE(context->run(std::vector{random_tensor({n, 8}, 1)}).ok()); };
  MixExecutable::prepared = 0;
  run(3);
  run(4);
  run(3);
  run(4);
  EXPECT_EQ(MixExecutable::prepared, 2);
  run(5);
  run(4);
  EXPECT_EQ(MixExecutable::prepared, 3);
  run(3);
  EXPECT_EQ(MixExecutable::prepared, 4);
}

TEST(Context, WritesATraceOfStepsReadsAndWaits) {
  const TestFile file(twelve_groups().plan);
  auto engine = take(file.open(fake_device(), {.weight_budget = Bytes{0}}));
  auto context = take(engine->make_context());
  Trace trace;
  context->set_trace(&trace);
  ASSERT_TRUE(context->run(std::vector{random_tensor({3, 8}, 1)}).ok());
  const std::string json = trace.json();
  for (const char* name : {"mix_0", "mix_12", "'w3' and 1 more", "rows of 'w2'", "wait for weights"}) {
    EXPECT_NE(json.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace headrace::runtime
