#include "frontend/guards.h"

#include <gmock/gmock.h>

namespace headrace::frontend {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Relation = ir::Guard::Relation;

TensorMeta tensor(std::vector<Dim> sizes) {
  TensorMeta meta;
  meta.sizes = std::move(sizes);
  return meta;
}

// Inputs x [s0, 4], y [s1], d_a [s0], t_1 [8*s2] and the int n; a tensor "hidden" that is no input.
ExportedProgram program_with(std::vector<std::string> guards) {
  const Dim s0 = Dim::symbol("s0"), s1 = Dim::symbol("s1"), s2 = Dim::symbol("s2"), n = Dim::symbol("s3");
  ExportedProgram program;
  program.symbols = {{"s0", 1, 8, 200}, {"s1", 1, 6, 200}, {"s2", 2, 3, 64}, {"s3", 0, 5, 100}};
  program.tensors = {{"x", tensor({s0, 4})},
                     {"y", tensor({s1})},
                     {"d_a", tensor({s0})},
                     {"t_1", tensor({Dim(8) * s2})},
                     {"hidden", tensor({s0})}};
  program.sym_ints = {{"n", n}, {"sym_size", s0}};
  for (const char* name : {"x", "y", "d_a", "t_1"}) {
    program.inputs.push_back({InputSpecEntry::Kind::kUserInput, TensorName{name}});
  }
  program.inputs.push_back({InputSpecEntry::Kind::kUserInput, SymName{"n"}});
  program.guards_code = std::move(guards);
  return program;
}

Dim dim(std::string_view text) { return Dim::parse(text).value(); }

struct Case {
  std::string text, left;
  Relation relation;
  std::string right;
};

TEST(Guards, ReadsComparisonsOfInputSizes) {
  const Case cases[] = {
      {"L['x'].size()[0] <= 200", "s0", Relation::kLe, "200"},
      {"200 >= L['x'].size()[0]", "200", Relation::kGe, "s0"},
      {"L['x'].size()[0] != L['y'].size()[0]", "s0", Relation::kNe, "s1"},
      {"L['d']['a'].size()[0] > L['y'].size()[0] + 1", "s0", Relation::kGt, "s1 + 1"},
      {"L['t'][1].size()[0] < 100", "8*s2", Relation::kLt, "100"},
      {"L['n'] < 2*L['y'].size()[0]", "s3", Relation::kLt, "2*s1"},
      {"(L['y'].size()[0] % 3) == 0", "s1 % 3", Relation::kEq, "0"},
      {"(L['t'][1].size()[0] // L['n']) == 4", "(8*s2) // s3", Relation::kEq, "4"},
      {"L['y'].size()[0] - L['n'] == 1", "s1 - s3", Relation::kEq, "1"},
      {"-L['n'] == -5", "-s3", Relation::kEq, "-5"},
      {"L['n']**2 == 25", "s3**2", Relation::kEq, "25"},
      {"max(1, L['n'], 4) == 5", "max(4, s3)", Relation::kEq, "5"},
      {"Min(L['n'], 4) == 4", "min(s3, 4)", Relation::kEq, "4"},
      {"not (L['n'] == 4)", "s3", Relation::kNe, "4"},
      {"not L['n'] > 5", "s3", Relation::kLe, "5"},
      {"((L['n']) == (5))", "s3", Relation::kEq, "5"},
      {"L['d'].a.size()[0] == 8", "s0", Relation::kEq, "8"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const GuardReport report = parse_guards(program_with({c.text}));
    EXPECT_THAT(report.not_understood, IsEmpty());
    ASSERT_EQ(report.guards.size(), 1u);
    EXPECT_EQ(report.guards[0].left.text(), dim(c.left).text());
    EXPECT_EQ(report.guards[0].relation, c.relation);
    EXPECT_EQ(report.guards[0].right.text(), dim(c.right).text());
  }
}

TEST(Guards, SplitsChainsAndConjunctions) {
  const ir::Guard low{2, dim("s0"), Relation::kLe}, high{dim("s0"), 64, Relation::kLe},
      odd{dim("s1"), 7, Relation::kNe};
  EXPECT_THAT(parse_guards(program_with({"2 <= L['x'].size()[0] <= 64"})).guards, ElementsAre(low, high));
  EXPECT_THAT(parse_guards(program_with({"(2 <= L['x'].size()[0]) and L['y'].size()[0] != 7"})).guards,
              ElementsAre(low, odd));
}

TEST(Guards, LeavesOutWhatTheShapesSayAlready) {
  const GuardReport report =
      parse_guards(program_with({"L['x'].size()[0] == L['d']['a'].size()[0]", "L['x'].size()[1] == 4",
                                 "(L['t'][1].size()[0] % 8) == 0", "L['n'] > 3", "L['n'] > 3"}));
  EXPECT_THAT(report.not_understood, IsEmpty());
  EXPECT_THAT(report.guards, ElementsAre(ir::Guard{dim("s3"), 3, Relation::kGt}));
}

TEST(Guards, ReportsWhatItDoesNotUnderstand) {
  const std::vector<std::string> texts = {
      "L['x'].size()[0] == 3 or L['y'].size()[0] == 6",
      "L['x'].stride()[0] == 4",
      "L['x'].size()[2] == 4",
      "L['z'].size()[0] == 4",
      "L['hidden'].size()[0] == 8",
      "L['sym_size'] == 8",
      "L['x'].size()[0] / 2 == 4",
      "L['x'].size()[0]",
      "L['x'].size()[0] == ",
      "L['x'].size()[0] == 8 8",
      "not (L['n'] == 5 and L['n'] == 5)",
      "L['x",
      "L['n']**99 == 1",
      "isinstance(L['x'], int)",
      "",
      std::string(3000, '('),
      std::string(100000, '-'),
      "L['n'] == 99",  // the example has 5: read, but surely not as it was meant
      "L['n'] // 0 == 1",
  };
  const GuardReport report = parse_guards(program_with(texts));
  EXPECT_EQ(report.not_understood, texts);
  EXPECT_THAT(report.guards, IsEmpty());
}

}  // namespace
}  // namespace headrace::frontend
