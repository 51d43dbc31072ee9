// What a context reads for its next run, while one ends.
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

PlanMaker eight_groups() {
  PlanMaker maker;
  for (int i = 0; i < 8; ++i) maker.add_step({maker.add_group({100000})});
  maker.add_output();
  return maker;
}

TEST(ReadAhead, ReadsAgainWhatCouldNotBeReadBetweenRuns) {
  const TestFile file(eight_groups().plan);
  auto device = std::make_shared<fake::FakeDevice>();
  auto engine = take(file.open(device, {.weight_budget = Bytes{0}}));
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  auto context = take(engine->make_context());
  const int64_t opened = device->reads();
  const Tensor want = take(context->run(x))[0];
  const int64_t a_run = device->reads() - opened;
  ASSERT_TRUE(context->run(x).ok());
  // All that streams here fits into the scratch, so that every read from now on is ahead of its run. One
  // fails in every second run: it is done again in this run or the next, and that must not meet the next
  // failure.
  for (int run = 0; run < 16; ++run) {
    if (run % 2 == 0) device->fail_read(a_run / 2);
    const auto got = context->run(x);
    ASSERT_TRUE(got.ok()) << "run " << run << ": " << got.status().message();
    EXPECT_TRUE(same_bits((*got)[0], want));
  }
  context.reset();
  EXPECT_GE(device->reads() - opened, 18 * a_run + 8);  // those that failed were done twice
}

TEST(ReadAhead, ReadsEachWeightOnceARunAndNothingAheadOfTheFirst) {
  const TestFile file(eight_groups().plan);
  auto device = std::make_shared<fake::FakeDevice>();
  auto engine = take(file.open(device, {.weight_budget = Bytes{0}}));
  auto context = take(engine->make_context());
  const std::vector<Tensor> x = {random_tensor({3, 8}, 1)};
  const Bytes opened = device->bytes_read();
  ASSERT_TRUE(context->run(x).ok());
  const Bytes one_run = device->bytes_read() - opened;  // whole blocks
  const Bytes streamed = context->memory().streamed_last_run;
  EXPECT_LE(streamed, one_run);
  for (int run = 1; run < 5; ++run) {
    ASSERT_TRUE(context->run(x).ok());
    EXPECT_EQ(context->memory().streamed_last_run, streamed);
  }
  context.reset();  // waits for what it reads ahead
  EXPECT_GT(device->bytes_read() - opened, one_run * 5);
  EXPECT_LE(device->bytes_read() - opened, one_run * 6);
}

}  // namespace
}  // namespace headrace::runtime
