// Steps timed on the fake device that runs behind the host, and budgets planned by it.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "queued_net.h"
#include "runtime/testing.h"

namespace headrace::runtime::nets {
namespace {

using fake::FakeQueuedDevice;
using fake::FakeQueuedOptions;

TEST(QueuedStepTimes, TimesItsStepsOnceInARunThatStreams) {
  int streamed = 0;
  for (uint64_t seed = 500; seed < 506; ++seed) {
    const NetFile file(seed);
    Random random(seed);
    const Case one = resident_cases(file, random)[0];
    for (const bool streams : {false, true}) {
      auto device = std::make_shared<FakeQueuedDevice>(FakeQueuedOptions{.seed = seed});
      auto engine = open_queued(file, device, Bytes{streams ? 0 : int64_t{1} << 40});
      if (engine->streamable() == Bytes{}) continue;
      streamed += streams ? 1 : 0;
      auto context = take(engine->make_context());
      std::vector<int64_t> captures;
      for (int run = 0; run < 4; ++run) {
        expect_case(*context, one, seed);
        captures.push_back(device->captures());
      }
      // A shape's first run is not captured; nor is the one that is timed.
      EXPECT_EQ(captures, streams ? (std::vector<int64_t>{0, 0, 1, 1}) : (std::vector<int64_t>{0, 1, 1, 1}));
    }
  }
  EXPECT_GT(streamed, 0);
}

// Kernels whose last step takes far longer than all others.
class LatePrepared : public Prepared {
 public:
  LatePrepared(std::shared_ptr<const Prepared> inner, StepIndex last)
      : inner_(std::move(inner)), last_(last) {}
  Bytes workspace(StepIndex step) const override { return inner_->workspace(step); }
  Status enqueue(StepIndex step, const Addresses& at, Queue& queue) const override {
    for (int i = 0; step == last_ && i < 500; ++i)
      HR_TRY(static_cast<fake::FakeWorkQueue&>(queue).push("wait", [] { return Status(); }));
    return inner_->enqueue(step, at, queue);
  }

 private:
  std::shared_ptr<const Prepared> inner_;
  StepIndex last_;
};
class LateExecutable : public Executable {
 public:
  LateExecutable(std::unique_ptr<Executable> inner, StepIndex last) : inner_(std::move(inner)), last_(last) {}
  Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int threads) override {
    HR_ASSIGN(auto inner, inner_->prepare(dims, threads));
    return std::shared_ptr<const Prepared>(std::make_shared<LatePrepared>(std::move(inner), last_));
  }

 private:
  std::unique_ptr<Executable> inner_;
  StepIndex last_;
};
class LateKernels : public Kernels {
 public:
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    const auto last = static_cast<StepIndex>(plan->steps.size()) - 1;
    HR_ASSIGN(auto queued, QueuedMix().load(std::move(plan)));
    return std::unique_ptr<Executable>(std::make_unique<LateExecutable>(std::move(queued), last));
  }
};

TEST(QueuedStepTimes, DecideWhatIsResidentAtTheNextChangeOfTheBudget) {
  testing::PlanMaker maker;
  for (int i = 0; i < 10; ++i) maker.add_step({maker.add_group({100 * 1024})});
  maker.add_output();
  const testing::TestFile file(maker.plan);
  auto device = std::make_shared<FakeQueuedDevice>();
  auto engine = take(file.open(device, {.weight_budget = Bytes{0}}, std::make_unique<LateKernels>()));
  auto context = take(engine->make_context());
  const Bytes half = {engine->streamable().count / 2};
  // What a change to the budget in force copies: nothing, unless other weights are chosen now.
  const auto copied = [&] {
    const Bytes before = device->bytes_copied();
    EXPECT_TRUE(engine->set_weight_budget(half).ok());
    EXPECT_EQ(context->memory().resident, half);
    return device->bytes_copied() - before;
  };
  const std::vector<Tensor> x = {testing::random_tensor({3, 8}, 1)};
  EXPECT_GT(copied(), Bytes{});
  ASSERT_TRUE(context->run(x).ok());
  EXPECT_EQ(copied(), Bytes{});
  ASSERT_TRUE(context->run(x).ok());  // timed
  EXPECT_GT(copied(), Bytes{});
  ASSERT_TRUE(context->run(x).ok());
  EXPECT_EQ(copied(), Bytes{});
}

TEST(QueuedStepTimes, DecideWithTheLinkWhatHoldsARunUp) {
  testing::PlanMaker maker = testing::embedding_and_pairs();
  maker.add_output();
  const testing::TestFile file(maker.plan);
  auto device = std::make_shared<FakeQueuedDevice>();
  auto engine = take(file.open(device, {.weight_budget = mib(12)}, std::make_unique<QueuedMix>()));
  auto context = take(engine->make_context());
  const std::vector<Tensor> x = {testing::random_tensor({3, 8}, 1)};
  const auto copied = [&](Bytes budget) {
    const Bytes before = device->bytes_copied();
    EXPECT_TRUE(engine->set_weight_budget(budget).ok());
    EXPECT_EQ(context->memory().resident, budget);
    return device->bytes_copied() - before;
  };
  const Tensor want = take(context->run(x))[0];
  EXPECT_EQ(context->memory().link_rate, 0);
  EXPECT_EQ(copied(mib(12)), Bytes{});
  const auto run = [&] { EXPECT_TRUE(testing::same_bits(take(context->run(x))[0], want)); };
  run();  // timed
  EXPECT_GT(context->memory().link_rate, 0);
  // What the first step reads comes in nobody's shadow: it stays instead of what is read more often.
  EXPECT_EQ(copied(mib(12)), mib(12));
  run();
  EXPECT_EQ(context->memory().streamed_last_run, mib(16));
  EXPECT_EQ(copied(mib(12)), Bytes{});
  EXPECT_EQ(copied({}), Bytes{});
  run();
  EXPECT_EQ(copied(mib(12)), mib(12));  // a budget that comes back restores what was
  run();
  EXPECT_EQ(context->memory().streamed_last_run, mib(16));
}

}  // namespace
}  // namespace headrace::runtime::nets
