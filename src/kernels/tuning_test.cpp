#include "kernels/tuning.h"

#include <gtest/gtest.h>

namespace headrace {
namespace {

using std::chrono::milliseconds;

TEST(Tuning, CountsAProblemOnce) {
  Tuning tuning({});
  tuning.note("a", TuningOutcome::kTuned);
  tuning.note("a", TuningOutcome::kKnown);
  tuning.note("b", TuningOutcome::kKnown);
  tuning.note("c", TuningOutcome::kUntuned);
  tuning.note("d", TuningOutcome::kUntuned);
  tuning.charge(milliseconds(1250));
  const TuningReport report = tuning.report();
  EXPECT_EQ(report.tuned, 1);
  EXPECT_EQ(report.known, 1);
  EXPECT_EQ(report.untuned, 2);
  EXPECT_EQ(report.ns, 1'250'000'000);
}

TEST(Tuning, EndsWithItsTime) {
  Tuning tuning({.limit = milliseconds(10)});
  EXPECT_FALSE(tuning.exhausted());
  tuning.charge(milliseconds(9));
  EXPECT_FALSE(tuning.exhausted());
  tuning.charge(milliseconds(1));
  EXPECT_TRUE(tuning.exhausted());
  EXPECT_TRUE(Tuning({.limit = milliseconds(0)}).exhausted());
}

TEST(Tuning, IsCancelledByItsProgress) {
  Tuning tuning({});
  EXPECT_TRUE(tuning.progress(1, 2).ok());
  tuning.set_progress([](const ProgressEvent& event) {
    EXPECT_EQ(event.phase, "tune");
    return event.done < event.total;
  });
  EXPECT_TRUE(tuning.progress(1, 2).ok());
  EXPECT_EQ(tuning.progress(2, 2).code(), Code::kUnavailable);
}

TEST(TuningReport, SaysInALineWhatWasDone) {
  EXPECT_EQ(TuningReport().text(), "");
  EXPECT_EQ((TuningReport{.tuned = 37, .ns = 1'234'000'000}.text()), "tuned 37 kernels in 1.2 s");
  EXPECT_EQ((TuningReport{.known = 37}.text()), "37 kernels tuned before: nothing to tune");
  EXPECT_EQ((TuningReport{.tuned = 1, .known = 2, .untuned = 3}.text()),
            "tuned 1 kernel in 0.0 s, 2 kernels tuned before, 3 kernels left untuned");
}

}  // namespace
}  // namespace headrace
