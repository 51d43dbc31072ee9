#include <gtest/gtest.h>

#include <cmath>

#include "core/half.h"
#include "core/pointwise.h"
#include "core/units.h"

namespace headrace {
namespace {

TEST(Units, SizesParseInEveryUnit) {
  EXPECT_EQ(parse_bytes("1048576").value(), mib(1));
  EXPECT_EQ(parse_bytes("512MiB").value(), mib(512));
  EXPECT_EQ(parse_bytes("1.5 GiB").value(), mib(1536));
  EXPECT_EQ(parse_bytes("100MB").value(), Bytes{100000000});
  EXPECT_EQ(parse_bytes("0").value(), Bytes{0});
}

TEST(Units, MalformedSizesSayWhatToWrite) {
  for (const char* text : {"", "x", "10 %x", "5k", "-1", "-3MiB", "1e400", "nan", "99999999TiB"}) {
    EXPECT_EQ(parse_bytes(text).status().code(), Code::kInvalidArgument) << text;
  }
  EXPECT_EQ(parse_budget("10 %x").status().message(),
            "'10 %x': '%x' is no unit; use B, KiB, MiB, GiB, TiB, KB, MB or GB, as in 512MiB");
  EXPECT_EQ(parse_budget("-5%").status().message(), "'-5%': a weight budget cannot be negative");
}

TEST(Units, BudgetsAreSharesSizesOrWords) {
  EXPECT_EQ(parse_budget("10%").value().millionths, 100000);
  EXPECT_EQ(parse_budget("all").value().kind, BudgetText::Kind::kAll);
  EXPECT_EQ(parse_budget("auto").value().kind, BudgetText::Kind::kAuto);
  EXPECT_EQ(parse_budget("0").value().bytes, Bytes{0});
  EXPECT_FALSE(parse_budget("101%").ok());
}

TEST(Units, SizesPrintForPeople) {
  EXPECT_EQ(to_text(Bytes{512}), "512 B");
  EXPECT_EQ(to_text(kib(64)), "64.0 KiB");
  EXPECT_EQ(to_text(gib(3)), "3.00 GiB");
}

TEST(PointwiseProgram, TextRoundTrips) {
  const char* text = "(bf16, f32) r2: f32 = cast(r0); r3: f32 = mul(r2, r1); r4: bool = gt(r3, r1) -> r3, r4";
  const Result<PointwiseProgram> program = PointwiseProgram::parse(text);
  ASSERT_TRUE(program.ok()) << program.status().message();
  EXPECT_EQ(program->text(), text);
  EXPECT_EQ(program->dtype(4), DType::kBool);
}

TEST(PointwiseProgram, WrongProgramsAreErrors) {
  for (const char* text : {"", "(f32)", "(f32) r1: f32 = neg(r2) -> r1", "(f32) r2: f32 = neg(r0) -> r2",
                           "(f32, bf16) r2: f32 = add(r0, r1) -> r2", "(f32) r1: f32 = eq(r0, r0) -> r1",
                           "(f32) r1: f32 = frob(r0) -> r1", "(f32) -> r9", "(f32) -> r0 x",
                           "(f32, f32) r2: f32 = where(r0, r1, r1) -> r2"}) {
    EXPECT_EQ(PointwiseProgram::parse(text).status().code(), Code::kInvalidArgument) << text;
  }
}

TEST(Half, EveryHalfSurvivesARoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float f16 = f16_to_float(static_cast<uint16_t>(bits));
    if (std::isnan(f16)) {
      EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(f16))));
    } else {
      EXPECT_EQ(float_to_f16(f16), bits);
    }
    const float bf16 = bf16_to_float(static_cast<uint16_t>(bits));
    if (!std::isnan(bf16)) EXPECT_EQ(float_to_bf16(bf16), bits);
  }
}

TEST(Half, RoundingIsToNearestEven) {
  EXPECT_EQ(float_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_f16(1.0f + 1.0f / 2048), 0x3c00);
  EXPECT_EQ(float_to_f16(1.0f + 3.0f / 2048), 0x3c02);
  EXPECT_EQ(float_to_bf16(1.0f + 1.0f / 256), 0x3f80);
  EXPECT_EQ(float_to_bf16(1.0f + 3.0f / 256), 0x3f82);
}

}  // namespace
}  // namespace headrace
