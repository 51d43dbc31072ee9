#include "frontend/guards.h"

#include <algorithm>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/text_cursor.h"

namespace headrace::frontend {
namespace {

using Relation = ir::Guard::Relation;

constexpr size_t kLongestGuard = 4096;
constexpr int kDeepest = 64;
constexpr int64_t kMostTerms = 256;  // products of sums multiply out

struct RelationText {
  std::string_view text;
  Relation relation, opposite;
};
constexpr RelationText kRelations[] = {
    // longer ones first
    {"==", Relation::kEq, Relation::kNe}, {"!=", Relation::kNe, Relation::kEq},
    {"<=", Relation::kLe, Relation::kGt}, {">=", Relation::kGe, Relation::kLt},
    {"<", Relation::kLt, Relation::kGe},  {">", Relation::kGt, Relation::kLe},
};

int64_t terms(const Dim& dim) {
  return dim.kind() == Dim::Kind::kAdd ? static_cast<int64_t>(dim.operands().size()) : 1;
}

// Every function gives nullopt where the text is not of the form; the guard is then reported as not
// understood.
class Parser {
 public:
  Parser(std::string_view text, const ExportedProgram& program, const std::set<std::string_view>& inputs)
      : in_(text), program_(program), inputs_(inputs) {}

  std::optional<std::vector<ir::Guard>> run() {
    auto guards = conjunction(0);
    if (!guards || !in_.at_end()) return std::nullopt;
    return guards;
  }

 private:
  using Guards = std::optional<std::vector<ir::Guard>>;
  using Number = std::optional<Dim>;

  bool take(std::string_view token) { return in_.take(token); }

  Guards conjunction(int depth) {
    Guards all = condition(depth);
    while (all && in_.take_word("and")) {
      const Guards more = condition(depth);
      if (!more) return std::nullopt;
      all->insert(all->end(), more->begin(), more->end());
    }
    return all;
  }

  Guards condition(int depth) {
    if (depth > kDeepest) return std::nullopt;
    if (in_.take_word("not")) {
      Guards guards = condition(depth + 1);
      if (!guards || guards->size() != 1) return std::nullopt;  // not (a and b) is an "or"
      for (const RelationText& known : kRelations) {
        if (known.relation == guards->front().relation) {
          guards->front().relation = known.opposite;
          return guards;
        }
      }
      return std::nullopt;
    }
    const size_t start = in_.at();
    if (Guards guards = comparison(depth)) return guards;
    in_.go_back(start);  // the parenthesis was around a condition, not a number
    if (!take("(")) return std::nullopt;
    Guards guards = conjunction(depth + 1);
    if (!guards || !take(")")) return std::nullopt;
    return guards;
  }

  Guards comparison(int depth) {
    Number left = sum(depth);
    Guards guards;
    while (left) {
      const auto* known = std::find_if(std::begin(kRelations), std::end(kRelations),
                                       [&](const RelationText& r) { return take(r.text); });
      if (known == std::end(kRelations)) return guards;
      Number right = sum(depth);
      if (!right) return std::nullopt;
      if (!guards) guards.emplace();
      guards->push_back({*left, *right, known->relation});
      left = right;
    }
    return std::nullopt;
  }

  Number sum(int depth) {
    Number left = product(depth);
    while (left) {
      const bool plus = take("+");
      if (!plus && !take("-")) break;
      const Number right = product(depth);
      if (!right || terms(*left) + terms(*right) > kMostTerms) return std::nullopt;
      left = plus ? *left + *right : *left - *right;
    }
    return left;
  }

  Number product(int depth) {
    Number left = unary(depth);
    while (left) {
      const bool divide = take("//"), modulo = !divide && take("%");
      if (!divide && !modulo && !take("*")) break;
      const Number right = unary(depth);  // "/" is no number and is not understood
      if (!right || terms(*left) * terms(*right) > kMostTerms) return std::nullopt;
      left = divide ? Dim::floor_div(*left, *right) : modulo ? Dim::mod(*left, *right) : *left * *right;
    }
    return left;
  }

  Number unary(int depth) {
    if (depth > kDeepest) return std::nullopt;
    if (take("-")) {
      const Number value = unary(depth + 1);
      if (!value) return std::nullopt;
      return Dim(0) - *value;
    }
    Number base = atom(depth);
    if (!base || !take("**")) return base;
    const auto exponent = in_.integer();
    if (!exponent || *exponent < 0 || *exponent > 8) return std::nullopt;
    Number power = Dim(1);
    for (int64_t i = 0; i < *exponent; ++i) {
      if (terms(*power) * terms(*base) > kMostTerms) return std::nullopt;
      power = *power * *base;
    }
    return power;
  }

  Number atom(int depth) {
    if (take("(")) {
      Number value = sum(depth + 1);
      if (!take(")")) return std::nullopt;
      return value;
    }
    if (take("min(") || take("Min(")) return extremum(depth, Dim::min);
    if (take("max(") || take("Max(")) return extremum(depth, Dim::max);
    if (take("L[")) return input();
    return in_.integer();
  }

  Number extremum(int depth, Dim (*combine)(const Dim&, const Dim&)) {
    Number value = sum(depth + 1);
    while (value && take(",")) {
      const Number next = sum(depth + 1);
      if (!next) return std::nullopt;
      value = combine(*value, *next);
    }
    if (!take(")")) return std::nullopt;
    return value;
  }

  // One step from an input towards a leaf, after "[": 'a' or 3, and "]".
  std::optional<std::string> index() {
    if (take("'")) {
      const auto key = in_.until('\'');
      return key && take("]") ? std::optional<std::string>(*key) : std::nullopt;
    }
    const auto number = in_.integer();
    if (!number || !take("]")) return std::nullopt;
    return std::to_string(*number);
  }

  // After "L[": ['d']['a'].size()[0], ['t'][1].size()[2], ['point'].x.size()[0], ['n'].
  Number input() {
    std::optional<std::string> name = index();
    while (name) {
      if (take(".size()[")) {
        const auto axis = in_.integer();
        if (!axis || !take("]")) return std::nullopt;
        return size_of(*name, *axis);
      }
      std::optional<std::string> step;
      if (take("[")) {
        step = index();
      } else if (take(".")) {
        step = std::string(in_.word());
      } else {
        return value_of(*name);
      }
      if (!step) return std::nullopt;
      *name += "_" + *step;
    }
    return std::nullopt;
  }

  Number size_of(const std::string& name, int64_t axis) const {
    const auto meta = program_.tensors.find(name);
    if (inputs_.find(name) == inputs_.end() || meta == program_.tensors.end()) return std::nullopt;
    const std::vector<Dim>& sizes = meta->second.sizes;
    if (axis < 0 || axis >= static_cast<int64_t>(sizes.size())) return std::nullopt;
    return sizes[static_cast<size_t>(axis)];
  }

  Number value_of(const std::string& name) const {
    const auto value = program_.sym_ints.find(name);
    if (inputs_.find(name) == inputs_.end() || value == program_.sym_ints.end()) return std::nullopt;
    return value->second;
  }

  TextCursor in_;
  const ExportedProgram& program_;
  const std::set<std::string_view>& inputs_;
};

std::set<std::string_view> user_inputs(const ExportedProgram& program) {
  std::set<std::string_view> names;
  for (const InputSpecEntry& input : program.inputs) {
    if (input.kind != InputSpecEntry::Kind::kUserInput) continue;
    if (const auto* tensor = std::get_if<TensorName>(&input.argument)) names.insert(tensor->name);
    if (const auto* number = std::get_if<SymName>(&input.argument)) names.insert(number->name);
  }
  return names;
}

bool holds(const ir::Guard& guard, const DimBindings& bindings) {
  const Result<int64_t> left = guard.left.evaluate(bindings), right = guard.right.evaluate(bindings);
  if (!left.ok() || !right.ok()) return false;
  switch (guard.relation) {
    case Relation::kEq: return *left == *right;
    case Relation::kNe: return *left != *right;
    case Relation::kLt: return *left < *right;
    case Relation::kLe: return *left <= *right;
    case Relation::kGt: return *left > *right;
    case Relation::kGe: return *left >= *right;
  }
  return false;
}

// True for any sizes: equal sides, or two numbers (which the example has shown to be so).
bool always_holds(const ir::Guard& guard) {
  return guard.left == guard.right || (guard.left.is_constant() && guard.right.is_constant());
}

}  // namespace

GuardReport parse_guards(const ExportedProgram& program) {
  GuardReport report;
  const std::set<std::string_view> inputs = user_inputs(program);
  const DimBindings example = opt_bindings(program.symbols);
  for (const std::string& text : program.guards_code) {
    std::optional<std::vector<ir::Guard>> guards;
    if (text.size() <= kLongestGuard) guards = Parser(text, program, inputs).run();
    const bool read = guards && std::all_of(guards->begin(), guards->end(),
                                            [&](const ir::Guard& guard) { return holds(guard, example); });
    if (!read) {
      report.not_understood.push_back(text);
      continue;
    }
    for (const ir::Guard& guard : *guards) {
      const auto& all = report.guards;
      if (!always_holds(guard) && std::find(all.begin(), all.end(), guard) == all.end())
        report.guards.push_back(guard);
    }
  }
  return report;
}

}  // namespace headrace::frontend
