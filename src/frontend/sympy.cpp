#include "frontend/sympy.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

#include "core/error.h"
#include "core/text_cursor.h"

namespace headrace::frontend {
namespace {

constexpr size_t kLongestText = 1 << 16;
constexpr size_t kLargestDim = 1 << 13;  // of an intermediate result's text
constexpr int64_t kMostTerms = 512;      // products of sums multiply out
constexpr int kDeepest = 100;

// numerator / denominator. Only heads that keep fractions exact take one whose denominator is not 1.
struct Ratio {
  Dim numerator;
  Dim denominator = 1;
  bool whole() const { return denominator == Dim(1); }
};
using Ratios = std::vector<Ratio>;

Ratio quotient(const Ratio& a, const Ratio& b) {
  return {a.numerator * b.denominator, a.denominator * b.numerator};
}
Ratio product(const Ratio& a, const Ratio& b) {
  return {a.numerator * b.numerator, a.denominator * b.denominator};
}
Ratio sum(const Ratio& a, const Ratio& b) {
  if (a.denominator == b.denominator) return {a.numerator + b.numerator, a.denominator};
  return {a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator};
}
Dim floor(const Ratio& a) { return a.whole() ? a.numerator : Dim::floor_div(a.numerator, a.denominator); }
Dim ceil(const Ratio& a) {
  return a.whole() ? a.numerator : Dim(0) - floor({Dim(0) - a.numerator, a.denominator});
}

int64_t terms(const Dim& dim) {
  return dim.kind() == Dim::Kind::kAdd ? static_cast<int64_t>(dim.operands().size()) : 1;
}

// A bound on the terms of what multiplies all of these by each other.
int64_t product_terms(const Ratios& arguments) {
  int64_t count = 1;
  for (const Ratio& a : arguments) {
    count = std::min(count * terms(a.numerator) * terms(a.denominator), int64_t{1} << 30);
  }
  return count;
}

bool too_large(const Ratio& value) {
  const auto large = [](const Dim& dim) { return !dim.is_constant() && dim.text().size() > kLargestDim; };
  return large(value.numerator) || large(value.denominator);
}

// What one head makes of its arguments. A negative count of arguments means "at least".
struct Head {
  std::string_view name;
  int arguments;
  bool fractions;  // takes arguments that are not whole
  Ratio (*apply)(const Ratios& a);
};

template <class F>
Ratio fold(const Ratios& a, F f) {
  Ratio result = a[0];
  for (size_t i = 1; i < a.size() && !too_large(result); ++i) result = f(result, a[i]);
  return result;
}

constexpr Head kHeads[] = {
    {"Add", -1, true, [](const Ratios& a) { return fold(a, sum); }},
    {"Mul", -1, true, [](const Ratios& a) { return fold(a, product); }},
    {"IntTrueDiv", 2, true, [](const Ratios& a) { return quotient(a[0], a[1]); }},
    {"CleanDiv", 2, true, [](const Ratios& a) { return quotient(a[0], a[1]); }},
    {"Rational", 2, false, [](const Ratios& a) { return quotient(a[0], a[1]); }},
    {"FloorDiv", 2, true, [](const Ratios& a) { return Ratio{floor(quotient(a[0], a[1]))}; }},
    {"FloorToInt", 1, true, [](const Ratios& a) { return Ratio{floor(a[0])}; }},
    {"CeilToInt", 1, true, [](const Ratios& a) { return Ratio{ceil(a[0])}; }},
    {"Identity", 1, true, [](const Ratios& a) { return a[0]; }},
    {"Mod", 2, false, [](const Ratios& a) { return Ratio{Dim::mod(a[0].numerator, a[1].numerator)}; }},
    {"PythonMod", 2, false, [](const Ratios& a) { return Ratio{Dim::mod(a[0].numerator, a[1].numerator)}; }},
    {"ModularIndexing", 3, false,
     [](const Ratios& a) {
       return Ratio{Dim::mod(Dim::floor_div(a[0].numerator, a[1].numerator), a[2].numerator)};
     }},
    {"Max", -1, false,
     [](const Ratios& a) {
       return fold(a,
                   [](const Ratio& x, const Ratio& y) { return Ratio{Dim::max(x.numerator, y.numerator)}; });
     }},
    {"Min", -1, false,
     [](const Ratios& a) {
       return fold(a,
                   [](const Ratio& x, const Ratio& y) { return Ratio{Dim::min(x.numerator, y.numerator)}; });
     }},
};

class Parser {
 public:
  explicit Parser(std::string_view text) : in_(text) {}

  Result<Dim> parse() {
    HR_ASSIGN(const Ratio value, expression(0));
    if (!in_.at_end()) return unexpected("the end");
    if (value.denominator == Dim(0)) return corrupt("size expression '{}' divides by 0", in_.text());
    return floor(value);
  }

 private:
  Status unexpected(std::string_view wanted) const {
    return corrupt("size expression '{}': at character {} there should be {}", in_.text(), in_.at() + 1,
                   wanted);
  }

  Result<int64_t> integer() {
    int64_t value = 0;
    const std::errc error = in_.integer(value);
    if (error == std::errc::result_out_of_range) {
      return unsupported("size expression '{}': the number at character {} leaves 64 bits", in_.text(),
                         in_.at() + 1);
    }
    if (error != std::errc()) return unexpected("a number");
    return value;
  }

  // Symbol('s77', positive=True, integer=True): the assumptions are of no use here.
  Result<Ratio> symbol() {
    if (!in_.take("'")) return unexpected("a quoted name");
    const std::string_view name = in_.word();
    if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])))
      return unexpected("a symbol's name");
    if (!in_.take("'")) return unexpected("a closing quote");
    while (in_.take(",")) {
      if (in_.word().empty() || !in_.take("=") || in_.word().empty()) return unexpected("name=value");
    }
    if (!in_.take(")")) return unexpected("')'");
    return Ratio{Dim::symbol(std::string(name))};
  }

  // "Integer(3)"; Rational's parts come as plain numbers, "Rational(1, 2)".
  Result<Ratio> expression(int depth) {
    if (depth > kDeepest) {
      return unsupported("size expression of {} characters: it is nested deeper than {}", in_.text().size(),
                         kDeepest);
    }
    if (in_.peek("-") || std::isdigit(static_cast<unsigned char>(in_.next()))) {
      HR_ASSIGN(const int64_t value, integer());
      return Ratio{Dim(value)};
    }
    const std::string_view head = in_.word();
    if (head.empty()) return unexpected("an expression");
    if (!in_.take("("))
      return unsupported("size expression '{}': '{}' has no finite whole value", in_.text(), head);
    if (head == "Symbol") return symbol();
    if (head == "Integer") {
      HR_ASSIGN(const int64_t value, integer());
      if (!in_.take(")")) return unexpected("')'");
      return Ratio{Dim(value)};
    }
    Ratios arguments;
    do {
      HR_ASSIGN(Ratio argument, expression(depth + 1));
      arguments.push_back(std::move(argument));
    } while (in_.take(","));
    if (!in_.take(")")) return unexpected("',' or ')'");
    return apply(head, arguments);
  }

  Result<Ratio> apply(std::string_view name, const Ratios& arguments) const {
    if (name == "Pow" || name == "PowByNatural") return power(name, arguments);
    const auto* head =
        std::find_if(std::begin(kHeads), std::end(kHeads), [&](const Head& h) { return h.name == name; });
    if (head == std::end(kHeads)) {
      return unsupported("size expression '{}': sizes made with '{}' are not supported", in_.text(), name);
    }
    if (head->arguments >= 0 && static_cast<size_t>(head->arguments) != arguments.size()) {
      return corrupt("size expression '{}': '{}' takes {} arguments, not {}", in_.text(), name,
                     head->arguments, arguments.size());
    }
    HR_TRY(head->fractions ? Status() : check_whole(name, arguments));
    if (multiplies_out(name, arguments) && product_terms(arguments) > kMostTerms) return too_long();
    return checked(head->apply(arguments));
  }

  Status check_whole(std::string_view name, const Ratios& arguments) const {
    for (const Ratio& argument : arguments) {
      if (!argument.whole()) {
        return unsupported("size expression '{}': an argument of '{}' may be a fraction", in_.text(), name);
      }
    }
    return {};
  }

  // A sum of whole numbers is the one thing that only adds.
  static bool multiplies_out(std::string_view name, const Ratios& arguments) {
    return name != "Add" ||
           !std::all_of(arguments.begin(), arguments.end(), [](const Ratio& a) { return a.whole(); });
  }

  Result<Ratio> power(std::string_view name, const Ratios& arguments) const {
    if (arguments.size() != 2) {
      return corrupt("size expression '{}': '{}' takes 2 arguments, not {}", in_.text(), name,
                     arguments.size());
    }
    HR_TRY(check_whole(name, {arguments[1]}));
    const Ratio& base = arguments[0];
    const Dim& exponent = arguments[1].numerator;
    if (exponent.is_constant() && exponent.constant() < 0) {
      if (exponent.constant() < -8 || product_terms(Ratios(8, base)) > kMostTerms) return too_long();
      const Dim positive(-exponent.constant());
      return checked({Dim::pow(base.denominator, positive), Dim::pow(base.numerator, positive)});
    }
    HR_TRY(check_whole(name, {base}));
    if (exponent.is_constant() && exponent.constant() <= 8) {
      const Ratios factors(static_cast<size_t>(exponent.constant()), base);
      if (product_terms(factors) > kMostTerms) return too_long();
    }
    return checked({Dim::pow(base.numerator, exponent)});
  }

  Result<Ratio> checked(Ratio value) const {
    if (too_large(value)) return too_long();
    return value;
  }

  Status too_long() const {
    return unsupported("size expression of {} characters: multiplied out, it is too large",
                       in_.text().size());
  }

  TextCursor in_;
};

}  // namespace

Result<Dim> parse_sympy(std::string_view text) {
  if (text.size() > kLongestText) {
    return unsupported("size expression of {} characters: up to {} are supported", text.size(), kLongestText);
  }
  // srepr text always starts with a head in upper camel case and a parenthesis; plain text, with a symbol or
  // number.
  const size_t word = std::min(
      text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"), text.size());
  const bool srepr = word > 0 && word < text.size() && text[word] == '(' &&
                     std::isupper(static_cast<unsigned char>(text[0]));
  return srepr ? Parser(text).parse() : Dim::parse(text);
}

}  // namespace headrace::frontend
