// Tables, JSON, plots and what is typed on the command line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/inputs.h"
#include "cli/json_text.h"
#include "cli/nearest.h"
#include "cli/report_text.h"
#include "cli/session.h"
#include "cli/svg.h"
#include "cli/table.h"

namespace headrace::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Table, AlignsColumnsByWhatATerminalShows) {
  Table table({{"budget"}, {"p50", Table::Align::kRight}});
  table.add({"all", "9.8 ms"});
  table.add({"–", "4.0 µs"});
  table.add({"none"});
  EXPECT_EQ(table.text(),
            "budget      p50\n"
            "all      9.8 ms\n"
            "–        4.0 µs\n"
            "none\n");
}

TEST(Nearest, FindsWhatWasMeantAndNothingElse) {
  const std::vector<std::string> known = {"compile", "run", "bench", "--weight-budget", "--random"};
  EXPECT_EQ(nearest("complie", known), "compile");
  EXPECT_EQ(nearest("rum", known), "run");
  EXPECT_EQ(nearest("--wieght-budgte", known), "--weight-budget");
  EXPECT_EQ(nearest("--budget", known), "");
  EXPECT_EQ(nearest("", known), "");
  EXPECT_EQ(nearest("x", std::vector<std::string>{}), "");
}

TEST(JsonText, EscapesWhatJsonCannotHold) {
  EXPECT_EQ(json_string("a\"b\\c\n\t\x01µ"), "\"a\\\"b\\\\c\\n\\t\\u0001µ\"");
  EXPECT_EQ(json_number(1.0 / 0.0), "null");
  EXPECT_EQ(JsonObject().add("a", int64_t{1}).add("b", true).raw("c", json_array({"2", "3"})).text(),
            "{\"a\": 1, \"b\": true, \"c\": [2, 3]}");
}

TEST(Svg, TicksAreRoundAndReachTheMost) {
  EXPECT_THAT(axis_ticks(10), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(axis_ticks(76.2), ElementsAre(0, 20, 40, 60, 80));
  for (const double most : {1e-9, 0.03, 1.0, 7.0, 49.9, 2048.0, 1e12}) {
    const std::vector<double> ticks = axis_ticks(most);
    EXPECT_GE(ticks.back(), most * (1 - 1e-6));
    EXPECT_LE(ticks.size(), 7u);
  }
  EXPECT_THAT(axis_ticks(0),
              ElementsAre(0, ::testing::_, ::testing::_, ::testing::_, ::testing::_, ::testing::_));
}

TEST(Svg, PointsLieInsideTheFrameAndTextIsEscaped) {
  const std::string text = svg_text({"a <b> & c", "x", "y", {{"one", {{0, 5}, {10, 1}}}}});
  EXPECT_THAT(text, HasSubstr("a &lt;b&gt; &amp; c"));
  EXPECT_THAT(text, HasSubstr("<circle cx=\"76.0\" cy=\"56.0\""));    // at the left, at the top
  EXPECT_THAT(text, HasSubstr("<circle cx=\"696.0\" cy=\"312.0\""));  // at the right, a fifth of the way up
}

TEST(ReportText, QuantilesInterpolate) {
  EXPECT_DOUBLE_EQ(quantile_ms({3'000'000, 1'000'000, 2'000'000}, 0.5), 2);
  EXPECT_DOUBLE_EQ(quantile_ms({1'000'000, 2'000'000}, 0.5), 1.5);
  EXPECT_DOUBLE_EQ(quantile_ms({1'000'000}, 0.99), 1);
}

TEST(Profile, TakesThreeNumbersOrOne) {
  const ProfileRange range = parse_profile("s0=1:8:32").value();
  EXPECT_EQ(range.name, "s0");
  EXPECT_THAT((std::vector<int64_t>{range.min, range.opt, range.max}), ElementsAre(1, 8, 32));
  EXPECT_EQ(parse_profile("n=7").value().max, 7);
  for (const char* bad : {"", "s0", "=1:2:3", "s0=", "s0=1:2", "s0=1:2:3:4", "s0=1:x:3", "s0=3:2:1",
                          "s0=-1:2:3", "s0=1:2:99999999999999999999"}) {
    EXPECT_EQ(parse_profile(bad).status().code(), Code::kInvalidArgument) << bad;
  }
}

TEST(Counts, AreWholeAndPositive) {
  EXPECT_THAT(parse_counts("1,8,32", "--batch").value(), ElementsAre(1, 8, 32));
  for (const char* bad : {"", "1,", "0", "-1", "1 8", "x"}) {
    EXPECT_EQ(parse_counts(bad, "--batch").status().code(), Code::kInvalidArgument) << bad;
  }
}

TEST(Console, EveryCodeHasAnExitCodeOfItsOwnKind) {
  EXPECT_EQ(exit_code(Code::kOk), 0);
  for (int code = 1; code <= static_cast<int>(Code::kInternal); ++code) {
    EXPECT_GE(exit_code(static_cast<Code>(code)), 2);
  }
}

}  // namespace
}  // namespace headrace::cli
