#include "runtime/link_rate.h"

#include <gtest/gtest.h>

#include "device/fake/steady_disk.h"
#include "runtime/read_stretch.h"
#include "runtime/testing.h"

namespace headrace::runtime {
namespace {

TEST(LinkRate, IsAMeanInWhichOlderStretchesFade) {
  LinkRate rate;
  EXPECT_EQ(rate.get(), 0);
  rate.note(mib(8), mib(8).count);  // a byte in a nanosecond
  EXPECT_EQ(rate.get(), 1'000'000'000);
  rate.note(mib(8), mib(4).count);
  EXPECT_EQ(rate.get(), 1'250'000'000);
}

TEST(LinkRate, CountsNoFewBytesAndNoStretchWithoutTime) {
  LinkRate rate;
  rate.note(LinkRate::kLeast - Bytes{1}, 1000);
  rate.note(LinkRate::kLeast, 0);
  EXPECT_EQ(rate.get(), 0);
  rate.note({INT64_MAX}, 1);  // no clock tells that; it does not overflow
  EXPECT_GT(rate.get(), 0);
}

TEST(LinkRate, DiffersFromAQuarterOn) {
  EXPECT_TRUE(differ(0, 1));
  EXPECT_FALSE(differ(100, 125));
  EXPECT_FALSE(differ(125, 100));
  EXPECT_TRUE(differ(100, 126));
  EXPECT_TRUE(differ(126, 100));
}

class ReadStretches : public ::testing::Test {
 protected:
  ReadStretches() { stretch_.set_enough(mib(16)); }
  // Of 4 MiB, whose time is 4 ms at this rate.
  void read(int64_t issued_ms, int64_t finished_ms, bool waited = true) {
    stretch_.add(mib(4), issued_ms * kMs, finished_ms * kMs, waited, rate_);
  }
  static constexpr int64_t kMs = 1'000'000;
  static constexpr int64_t kRate = mib(1).count * 1000;
  ReadStretch stretch_;
  LinkRate rate_;
};

TEST_F(ReadStretches, TellTheRateBetweenTwoPauses) {
  read(10, 14);
  read(10, 18);
  EXPECT_EQ(rate_.get(), 0);  // perhaps it goes on
  read(19, 23);
  EXPECT_EQ(rate_.get(), kRate);
}

TEST_F(ReadStretches, CountReadsThatAreOverTogether) {
  read(10, 18);
  read(10, 18, false);  // was there when its turn came
  read(19, 27);
  EXPECT_EQ(rate_.get(), kRate);
}

TEST_F(ReadStretches, TellTheRateOfALongStretchWithoutAPause) {
  read(10, 14);
  read(10, 18);
  read(14, 22);
  EXPECT_EQ(rate_.get(), 0);
  read(18, 26);
  EXPECT_EQ(rate_.get(), kRate);
}

TEST_F(ReadStretches, MayBeginAtTheEndOfARead) {
  read(10, 50, false);  // over before, but it is not known when
  for (int64_t end = 54; end <= 66; end += 4) {
    read(end - 44, end);
    EXPECT_EQ(rate_.get(), 0);
  }
  read(26, 70);
  EXPECT_EQ(rate_.get(), kRate);
}

TEST_F(ReadStretches, DoNotCountWhereTheEndOfAReadIsNotKnown) {
  read(10, 14);
  read(10, 40, false);
  read(41, 60, false);
  read(61, 90, false);
  EXPECT_EQ(rate_.get(), 0);
}

TEST_F(ReadStretches, DoNotCountBeforeAFailure) {
  read(10, 14);
  read(10, 18);
  stretch_.stop();
  read(30, 34);
  EXPECT_EQ(rate_.get(), 0);
}

TEST(LinkRate, IsMeasuredInRunsThatWaitForReads) {
  testing::PlanMaker maker;
  for (int i = 0; i < 40; ++i) maker.add_step({maker.add_group({mib(1).count})});
  maker.add_output();
  const testing::TestFile file(maker.plan);
  auto engine = testing::take(file.open(std::make_shared<fake::SteadyDisk>(), {.weight_budget = Bytes{0}}));
  auto context = testing::take(engine->make_context());
  const std::vector<Tensor> x = {testing::random_tensor({3, 8}, 1)};
  EXPECT_EQ(context->memory().link_rate, 0);
  for (int run = 0; run < 4; ++run) ASSERT_TRUE(context->run(x).ok());
  EXPECT_NEAR(static_cast<double>(context->memory().link_rate) / static_cast<double>(mib(1000).count), 1,
              0.01);
}

}  // namespace
}  // namespace headrace::runtime
