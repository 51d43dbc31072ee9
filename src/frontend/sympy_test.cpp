#include "frontend/sympy.h"

#include <gmock/gmock.h>

namespace headrace::frontend {
namespace {

using testing::HasSubstr;

struct Case {
  std::string_view srepr, plain;
};

#define S(name) "Symbol('" name "', positive=True, integer=True)"

TEST(Sympy, ReadsTheHeadsThatSizesAreMadeOf) {
  const Case cases[] = {
      {"Integer(7)", "7"},
      {"Integer(-7)", "-7"},
      {S("s77"), "s77"},
      {"Symbol('u0', integer=True)", "u0"},
      {"Symbol('n')", "n"},
      {"Mul(Integer(2), " S("s77") ")", "2*s77"},
      {"Add(" S("a") ", " S("b") ", Integer(-1))", "a + b - 1"},
      {"Pow(" S("a") ", Integer(2))", "a**2"},
      {"PowByNatural(" S("a") ", Integer(3))", "a**3"},
      {"Mod(" S("a") ", Integer(4))", "a % 4"},
      {"PythonMod(" S("a") ", Integer(4))", "a % 4"},
      {"FloorDiv(Add(" S("s77") ", Integer(1)), Integer(2))", "(s77 + 1) // 2"},
      {"CleanDiv(Mul(Integer(8), " S("a") "), Integer(4))", "2*a"},
      {"Max(Integer(1), " S("a") ", " S("b") ")", "max(1, a, b)"},
      {"Min(Integer(16), " S("a") ")", "min(16, a)"},
      {"Identity(" S("a") ")", "a"},
      {"ModularIndexing(" S("a") ", Integer(4), Integer(8))", "(a // 4) % 8"},
      {"Mul(Rational(1, 2), Mul(Integer(4), " S("a") "))", "2*a"},
      {"Add(Mul(Rational(1, 2), " S("a") "), Rational(1, 2))", "(a + 1) // 2"},
      {"IntTrueDiv(Mul(Integer(6), " S("a") "), Integer(3))", "2*a"},
      {"Mul(" S("a") ", Pow(" S("b") ", Integer(-1)))", "a // b"},
      {"FloorToInt(IntTrueDiv(" S("a") ", Integer(2)))", "a // 2"},
      {"CeilToInt(IntTrueDiv(" S("a") ", Integer(2)))", "-((-a) // 2)"},
      {"8*s1", "8*s1"},
      {"s1", "s1"},
      {"(s1 + 3) // 2", "(s1 + 3) // 2"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.srepr);
    const Result<Dim> got = parse_sympy(c.srepr), want = Dim::parse(c.plain);
    ASSERT_TRUE(want.ok()) << want.status().message();
    ASSERT_TRUE(got.ok()) << got.status().message();
    EXPECT_EQ(got->text(), want->text());
  }
}

TEST(Sympy, GivesTheValueThatPythonWould) {
  const Result<Dim> dim = parse_sympy("Add(FloorDiv(Add(" S("a") ", Integer(-5)), Integer(3)), Mul(Mod(" S(
      "a") ", Integer(4)), Integer(10)))");
  ASSERT_TRUE(dim.ok());
  EXPECT_EQ(dim->evaluate({{"a", 3}}).value(), -1 + 30);
  EXPECT_EQ(dim->evaluate({{"a", 12}}).value(), 2);
}

TEST(Sympy, NamesTheHeadThatItDoesNotKnow) {
  const Status status = parse_sympy("Add(Integer(1), ToFloat(" S("a") "))").status();
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("'ToFloat'"));
  EXPECT_THAT(parse_sympy("Max(Integer(2), oo)").status().message(), HasSubstr("'oo'"));
  EXPECT_THAT(parse_sympy("Max(Integer(2), Mul(Rational(1, 2), " S("a") "))").status().message(),
              HasSubstr("an argument of 'Max' may be a fraction"));
}

TEST(Sympy, RefusesTextThatIsNoExpression) {
  for (const std::string_view text :
       {"Add(", "Add()", "Add(Integer(1)", "Integer(1) x", "Integer(x)", "Symbol(a)", "Symbol('1')",
        "Symbol('')", "Symbol('a', positive)", "Mod(Integer(1))",
        "FloorDiv(Integer(1), Integer(2), Integer(3))", "Rational(1, 0)",
        "IntTrueDiv(Integer(1), Integer(0))", "Pow(Integer(2))", ""}) {
    EXPECT_FALSE(parse_sympy(text).ok()) << text;
  }
}

TEST(Sympy, BoundsDepthLengthAndGrowth) {
  std::string deep = S("a");
  for (int i = 0; i < 5000; ++i) deep = "Add(Integer(1), " + deep + ")";
  EXPECT_EQ(parse_sympy(deep).status().code(), Code::kUnsupported);
  EXPECT_EQ(parse_sympy("Integer(" + std::string(100000, '1') + ")").status().code(), Code::kUnsupported);
  EXPECT_EQ(parse_sympy("Integer(99999999999999999999)").status().code(), Code::kUnsupported);
  std::string product = "Mul(Integer(1)";
  for (int i = 0; i < 40; ++i) product += ", Add(Symbol('a" + std::to_string(i) + "'), Symbol('b'))";
  EXPECT_THAT(parse_sympy(product + ")").status().message(), HasSubstr("too large"));
}

}  // namespace
}  // namespace headrace::frontend
