#include "core/dim.h"

#include <gtest/gtest.h>

namespace headrace {
namespace {

Dim s(const char* name) { return Dim::symbol(name); }

TEST(Dim, EqualPolynomialsCompareEqual) {
  EXPECT_EQ(s("a") + s("b"), s("b") + s("a"));
  EXPECT_EQ((s("a") + 1) * 2, 2 * s("a") + 2);
  EXPECT_EQ(s("a") * s("b") * 3, 3 * s("b") * s("a"));
  EXPECT_EQ(s("a") - s("a"), Dim(0));
  EXPECT_FALSE(s("a") == s("b"));
}

TEST(Dim, DivisionByAFactorIsExact) {
  EXPECT_EQ(Dim::floor_div(768 * s("a"), 12), 64 * s("a"));
  EXPECT_EQ(Dim::floor_div(768 * s("a") * s("b"), s("a")), 768 * s("b"));
  EXPECT_EQ(Dim::mod(8 * s("a") + 3, 4), Dim(3));
  EXPECT_EQ(Dim::floor_div(4 * s("a") + 6, 4), s("a") + 1);
  EXPECT_EQ(Dim::floor_div(Dim(-7), 2), Dim(-4));
  EXPECT_EQ(Dim::mod(Dim(-7), 2), Dim(1));
}

struct TextCase {
  const char* text;
  const char* canonical;
  int64_t value;  // with a = 5, b = 3
};
constexpr TextCase kTextCases[] = {
    {"a", "a", 5},
    {"2*a + 1", "2 * a + 1", 11},
    {"1 + a*2 - b", "2 * a - b + 1", 8},
    {"(a + 7) // 8", "(a + 7) // 8", 1},
    {"-a % 4", "-1 * a % 4", 3},
    {"min(a, 16, b)", "min(a, b, 16)", 3},
    {"max(a - b, 0) * b", "b * max(a - b, 0)", 6},
    {"a ** b", "a ** b", 125},
    {"a // b // 1 * b", "b * (a // b)", 3},
    {"-9223372036854775808", "-9223372036854775808", INT64_MIN},
};

TEST(Dim, TextRoundTripsInCanonicalForm) {
  const DimBindings bindings = {{"a", 5}, {"b", 3}};
  for (const TextCase& c : kTextCases) {
    const Result<Dim> dim = Dim::parse(c.text);
    ASSERT_TRUE(dim.ok()) << c.text << ": " << dim.status().message();
    EXPECT_EQ(dim->evaluate(bindings).value(), c.value) << c.text;
    const Result<Dim> again = Dim::parse(dim->text());
    ASSERT_TRUE(again.ok()) << dim->text();
    EXPECT_EQ(*again, *dim) << c.text;
  }
}

TEST(Dim, BadTextIsAnError) {
  for (const char* text :
       {"", "a +", "(a", "a b", "1 // ", "foo(a)", "9223372036854775808", "min()", "a @ b"}) {
    EXPECT_EQ(Dim::parse(text).status().code(), Code::kInvalidArgument) << text;
  }
  EXPECT_FALSE(Dim::parse(std::string(1000, '(') + "a").ok());
  std::string products = "(a+b)";
  for (int i = 0; i < 200; ++i) products += "*(a+b)";
  EXPECT_FALSE(Dim::parse(products).ok());
}

TEST(Dim, EvaluationChecksSymbolsZeroAndOverflow) {
  EXPECT_EQ(s("a").evaluate({}).status().code(), Code::kInvalidArgument);
  EXPECT_FALSE(Dim::floor_div(1, s("a")).evaluate({{"a", 0}}).ok());
  EXPECT_FALSE((s("a") * s("a")).evaluate({{"a", int64_t{1} << 40}}).ok());
}

TEST(Dim, LargePowersOfOneTakeNoTime) {
  EXPECT_EQ(Dim::parse("(-1)**9223372036854775807").value(), Dim(-1));
  EXPECT_EQ(Dim::parse("(-1)**11111111256").value(), Dim(1));
  EXPECT_EQ(Dim::parse("1**9223372036854775807").value(), Dim(1));
  EXPECT_EQ(Dim::parse("0**9223372036854775807").value(), Dim(0));
  EXPECT_EQ(Dim::parse("(-2)**63").value(), Dim(INT64_MIN));
}

TEST(Dim, FactorsBeyond64BitsStayApart) {
  const Dim product = Dim::parse("4 * 7777777777777777746 * s").value();
  EXPECT_EQ(product.text(), "4 * 7777777777777777746 * s");
  EXPECT_EQ(Dim::parse(product.text()).value(), product);
  const Dim sum = Dim::parse("9223372036854775807 * s + 2 * s").value();
  EXPECT_EQ(sum.evaluate({{"s", 0}}).value(), 0);
  EXPECT_FALSE(sum.evaluate({{"s", 1}}).ok());
}

TEST(Dim, SubstitutionReplacesSymbolsEverywhere) {
  const Dim dim = Dim::floor_div(s("a") + 7, 8) + s("b");
  EXPECT_EQ(dim.substitute({{"a", Dim(9)}}), s("b") + 2);
}

}  // namespace
}  // namespace headrace
