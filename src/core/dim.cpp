#include "core/dim.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "core/error.h"

namespace headrace {

// Canonical form: kAdd is a sum of >= 2 terms, none a sum, like terms collected, constant last; kMul is a
// product of >= 2 factors, none a product, a constant factor first; the operands of both and of min and max
// are sorted by text.
struct Dim::Expr {
  Kind kind = Kind::kSymbol;
  std::string name;
  std::vector<Dim> operands;
  std::string text;  // made once; the order and the equality of expressions
};

namespace {

int64_t floor_quotient(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}
int64_t floor_remainder(int64_t a, int64_t b) { return a - floor_quotient(a, b) * b; }

std::optional<int64_t> checked_pow(int64_t base, int64_t exponent) {
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  int64_t result = 1;
  for (; exponent > 0; --exponent) {  // ends soon: anything but -1, 0 and 1 leaves 64 bits
    if (__builtin_mul_overflow(result, base, &result)) return std::nullopt;
    if (result == 0 || base == 1) break;
  }
  return result;
}

// Products of sums are multiplied out up to here. Real sizes stay far below; hostile text must not grow
// without bound.
constexpr size_t kMaxExpandedTerms = 32;

// A term of a sum: coefficient times a product without constant factor.
struct Term {
  int64_t coefficient;
  Dim factor;  // constant 1 for the constant term
};

Term split_term(const Dim& dim) {
  if (dim.is_constant()) return {dim.constant(), Dim(1)};
  if (dim.kind() != Dim::Kind::kMul || !dim.operands()[0].is_constant()) return {1, dim};
  Dim rest(1);
  for (const Dim& factor : dim.operands().subspan(1)) rest = rest * factor;
  return {dim.operands()[0].constant(), rest};
}

std::vector<Dim> terms_of(const Dim& dim) {
  if (dim.kind() == Dim::Kind::kAdd) return {dim.operands().begin(), dim.operands().end()};
  return {dim};
}
std::vector<Dim> factors_of(const Dim& dim) {
  if (dim.kind() == Dim::Kind::kMul) return {dim.operands().begin(), dim.operands().end()};
  return {dim};
}

bool has_sum_factor(const std::vector<Dim>& terms) {
  return std::any_of(terms.begin(), terms.end(), [](const Dim& term) {
    if (term.kind() != Dim::Kind::kMul) return false;
    const auto factors = term.operands();
    return std::any_of(factors.begin(), factors.end(),
                       [](const Dim& factor) { return factor.kind() == Dim::Kind::kAdd; });
  });
}

bool text_less(const Dim& a, const Dim& b) {
  // Constants sort last in sums; make() puts them where they belong.
  return a.text() < b.text();
}

int precedence(Dim::Kind kind) {
  switch (kind) {
    case Dim::Kind::kAdd: return 1;
    case Dim::Kind::kMul:
    case Dim::Kind::kFloorDiv:
    case Dim::Kind::kMod: return 2;
    case Dim::Kind::kPow: return 3;
    default: return 4;
  }
}

std::string wrapped(const Dim& dim, int outer) {
  const bool negative = dim.is_constant() && dim.constant() < 0;
  const bool wrap = precedence(dim.kind()) <= outer || (negative && outer >= 2);
  return wrap ? "(" + dim.text() + ")" : dim.text();
}

std::string sum_text(std::span<const Dim> terms) {
  std::string text = terms[0].text();
  for (const Dim& term : terms.subspan(1)) {
    const Term split = split_term(term);
    if (split.coefficient < 0 && split.coefficient != std::numeric_limits<int64_t>::min()) {
      text += " - " + (Dim(-split.coefficient) * split.factor).text();
    } else {
      text += " + " + term.text();
    }
  }
  return text;
}

std::string expression_text(Dim::Kind kind, std::span<const Dim> operands) {
  const auto call = [&](std::string_view name) {
    std::string text(name);
    text += "(";
    for (size_t i = 0; i < operands.size(); ++i) text += (i ? ", " : "") + operands[i].text();
    return text + ")";
  };
  const auto infix = [&](std::string_view symbol, int outer_left, int outer_right) {
    return fmt::format("{} {} {}", wrapped(operands[0], outer_left), symbol,
                       wrapped(operands[1], outer_right));
  };
  switch (kind) {
    case Dim::Kind::kAdd: return sum_text(operands);
    case Dim::Kind::kMul: {
      std::string text = operands[0].is_constant() ? operands[0].text() : wrapped(operands[0], 2);
      for (const Dim& factor : operands.subspan(1)) text += " * " + wrapped(factor, 2);
      return text;
    }
    case Dim::Kind::kFloorDiv: return infix("//", 2, 2);
    case Dim::Kind::kMod: return infix("%", 2, 2);
    case Dim::Kind::kPow: return infix("**", 3, 3);
    case Dim::Kind::kMin: return call("min");
    case Dim::Kind::kMax: return call("max");
    default: return "";
  }
}

}  // namespace

Dim Dim::symbol(std::string name) {
  auto expr = std::make_shared<Expr>();
  expr->text = name;
  expr->name = std::move(name);
  Dim dim;
  dim.expr_ = std::move(expr);
  return dim;
}

Dim::Kind Dim::kind() const { return expr_ ? expr_->kind : Kind::kConstant; }
const std::string& Dim::name() const { return expr_->name; }
std::span<const Dim> Dim::operands() const {
  if (!expr_) return {};
  return expr_->operands;
}

Dim Dim::make(Kind kind, std::vector<Dim> operands) {
  auto expr = std::make_shared<Expr>();
  expr->kind = kind;
  expr->text = expression_text(kind, operands);
  expr->operands = std::move(operands);
  Dim dim;
  dim.expr_ = std::move(expr);
  return dim;
}

bool operator==(const Dim& a, const Dim& b) {
  if (a.is_constant() || b.is_constant()) {
    return a.is_constant() && b.is_constant() && a.constant_ == b.constant_;
  }
  return a.expr_ == b.expr_ || a.expr_->text == b.expr_->text;
}

Dim operator+(const Dim& a, const Dim& b) {
  int64_t sum = 0;
  if (a.is_constant() && b.is_constant() && !__builtin_add_overflow(a.constant_, b.constant_, &sum))
    return sum;
  std::vector<Term> collected;
  const auto collect = [&](const Dim& dim) {
    for (const Dim& part : terms_of(dim)) {
      const Term term = split_term(part);
      auto same = std::find_if(collected.begin(), collected.end(),
                               [&](const Term& other) { return other.factor == term.factor; });
      int64_t total = 0;
      if (same == collected.end() || __builtin_add_overflow(same->coefficient, term.coefficient, &total)) {
        collected.push_back(term);
      } else {
        same->coefficient = total;
      }
    }
  };
  collect(a);
  collect(b);
  std::vector<Dim> terms;
  for (const Term& term : collected) {
    if (term.coefficient != 0) terms.push_back(Dim(term.coefficient) * term.factor);
  }
  if (terms.empty()) return 0;
  if (terms.size() == 1) return terms[0];
  std::sort(terms.begin(), terms.end(), [](const Dim& x, const Dim& y) {
    if (x.is_constant() != y.is_constant()) return y.is_constant();
    // Order by the variable part, so that s0 - 1 and 2*s0 - 1 read alike.
    const Term tx = split_term(x), ty = split_term(y);
    return tx.factor == ty.factor ? text_less(x, y) : text_less(tx.factor, ty.factor);
  });
  return Dim::make(Dim::Kind::kAdd, std::move(terms));
}

Dim operator-(const Dim& a, const Dim& b) { return a + Dim(-1) * b; }

Dim operator*(const Dim& a, const Dim& b) {
  int64_t product = 0;
  if (a.is_constant() && b.is_constant() && !__builtin_mul_overflow(a.constant_, b.constant_, &product)) {
    return product;
  }
  for (const auto& [x, y] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    if (x->is_constant() && x->constant_ == 0) return 0;
    if (x->is_constant() && x->constant_ == 1) return *y;
  }
  const std::vector<Dim> left = terms_of(a), right = terms_of(b);
  const size_t product_terms = left.size() * right.size();
  // Once a product stays whole it is never multiplied out again: its text would grow without bound.
  const bool whole = has_sum_factor(left) || has_sum_factor(right);
  if (product_terms > 1 && product_terms <= kMaxExpandedTerms && !whole) {
    Dim sum(0);
    for (const Dim& x : left) {
      for (const Dim& y : right) sum = sum + x * y;
    }
    return sum;
  }
  int64_t coefficient = 1;
  std::vector<Dim> factors;
  for (const Dim* side : {&a, &b}) {
    for (const Dim& factor : factors_of(*side)) {
      int64_t scaled = 0;
      if (!factor.is_constant() || __builtin_mul_overflow(coefficient, factor.constant_, &scaled)) {
        factors.push_back(factor);
      } else {
        coefficient = scaled;
      }
    }
  }
  std::sort(factors.begin(), factors.end(), text_less);
  if (coefficient != 1) factors.insert(factors.begin(), Dim(coefficient));
  if (factors.size() == 1) return factors[0];
  return Dim::make(Dim::Kind::kMul, std::move(factors));
}

namespace {

// The part of `dim` whose coefficients `divisor` divides, divided; and the rest.
std::pair<Dim, Dim> divide_terms(const Dim& dim, int64_t divisor) {
  Dim quotient(0), rest(0);
  for (const Dim& part : terms_of(dim)) {
    const Term term = split_term(part);
    if (term.coefficient % divisor == 0) {
      quotient = quotient + Dim(term.coefficient / divisor) * term.factor;
    } else {
      rest = rest + part;
    }
  }
  return {quotient, rest};
}

// `dim` without the factor `by` in every term; nullopt where a term lacks it.
std::optional<Dim> divide_exactly(const Dim& dim, const Dim& by) {
  Dim quotient(0);
  for (const Dim& part : terms_of(dim)) {
    std::vector<Dim> factors = factors_of(part);
    for (const Dim& factor : factors_of(by)) {
      if (factor.is_constant()) {
        if (!factors[0].is_constant() || factors[0].constant() % factor.constant() != 0) return std::nullopt;
        factors[0] = Dim(factors[0].constant() / factor.constant());
        continue;
      }
      const auto at = std::find(factors.begin(), factors.end(), factor);
      if (at == factors.end()) return std::nullopt;
      *at = Dim(1);
    }
    Dim product(1);
    for (const Dim& factor : factors) product = product * factor;
    quotient = quotient + product;
  }
  return quotient;
}

}  // namespace

Dim Dim::floor_div(const Dim& a, const Dim& b) {
  if (b.is_constant() && b.constant_ != 0) {
    if (a.is_constant() && !(b.constant_ == -1)) return floor_quotient(a.constant_, b.constant_);
    if (b.constant_ == 1) return a;
    if (b.constant_ > 1) {  // (4*s + r) // 4 = s + r // 4
      const auto [quotient, rest] = divide_terms(a, b.constant_);
      if (rest.is_constant()) return quotient + Dim(floor_quotient(rest.constant_, b.constant_));
      if (!(quotient == Dim(0))) return quotient + make(Kind::kFloorDiv, {rest, b});
    }
  } else if (!b.is_constant() && b.kind() != Kind::kAdd) {
    if (std::optional<Dim> exact = divide_exactly(a, b)) return *exact;
  } else if (a == b && !b.is_constant()) {
    return 1;
  }
  return make(Kind::kFloorDiv, {a, b});
}

Dim Dim::mod(const Dim& a, const Dim& b) {
  if (b.is_constant() && b.constant_ > 0) {
    if (b.constant_ == 1) return 0;
    const Dim rest = divide_terms(a, b.constant_).second;
    if (rest.is_constant()) return floor_remainder(rest.constant_, b.constant_);
    return make(Kind::kMod, {rest, b});
  }
  if (a.is_constant() && b.is_constant() && b.constant_ < -1)
    return floor_remainder(a.constant_, b.constant_);
  if (!b.is_constant() && a == b) return 0;
  return make(Kind::kMod, {a, b});
}

Dim Dim::pow(const Dim& a, const Dim& b) {
  if (b.is_constant() && b.constant_ >= 0) {
    if (a.is_constant()) {
      if (const auto value = checked_pow(a.constant_, b.constant_)) return *value;
    } else if (b.constant_ <= 8) {
      Dim product(1);
      for (int64_t i = 0; i < b.constant_; ++i) product = product * a;
      return product;
    }
  }
  return make(Kind::kPow, {a, b});
}

namespace {

std::vector<Dim> extremum_operands(const Dim& a, const Dim& b, Dim::Kind kind) {
  std::vector<Dim> operands;
  std::optional<int64_t> constant;
  for (const Dim* side : {&a, &b}) {
    const std::vector<Dim> parts = side->kind() == kind
                                       ? std::vector<Dim>(side->operands().begin(), side->operands().end())
                                       : std::vector<Dim>{*side};
    for (const Dim& part : parts) {
      if (part.is_constant()) {
        const int64_t value = part.constant();
        constant = !constant                 ? value
                   : kind == Dim::Kind::kMin ? std::min(*constant, value)
                                             : std::max(*constant, value);
      } else if (std::find(operands.begin(), operands.end(), part) == operands.end()) {
        operands.push_back(part);
      }
    }
  }
  std::sort(operands.begin(), operands.end(), text_less);
  if (constant) operands.push_back(Dim(*constant));
  return operands;
}

}  // namespace

Dim Dim::min(const Dim& a, const Dim& b) {
  std::vector<Dim> operands = extremum_operands(a, b, Kind::kMin);
  return operands.size() == 1 ? operands[0] : make(Kind::kMin, std::move(operands));
}

Dim Dim::max(const Dim& a, const Dim& b) {
  std::vector<Dim> operands = extremum_operands(a, b, Kind::kMax);
  return operands.size() == 1 ? operands[0] : make(Kind::kMax, std::move(operands));
}

Result<int64_t> Dim::evaluate(const DimBindings& bindings) const {
  if (is_constant()) return constant_;
  if (kind() == Kind::kSymbol) {
    const auto found = bindings.find(expr_->name);
    if (found == bindings.end()) return invalid_argument("size '{}' has no value", expr_->name);
    return found->second;
  }
  const auto overflow = [&] { return invalid_argument("size {} does not fit 64 bits", text()); };
  HR_ASSIGN(int64_t value, expr_->operands[0].evaluate(bindings));
  for (const Dim& operand : std::span(expr_->operands).subspan(1)) {
    HR_ASSIGN(const int64_t next, operand.evaluate(bindings));
    switch (kind()) {
      case Kind::kAdd:
        if (__builtin_add_overflow(value, next, &value)) return overflow();
        break;
      case Kind::kMul:
        if (__builtin_mul_overflow(value, next, &value)) return overflow();
        break;
      case Kind::kFloorDiv:
      case Kind::kMod:
        if (next == 0) return invalid_argument("size {} divides by 0", text());
        if (next == -1 && value == std::numeric_limits<int64_t>::min()) return overflow();
        value = kind() == Kind::kMod ? floor_remainder(value, next) : floor_quotient(value, next);
        break;
      case Kind::kPow: {
        const std::optional<int64_t> power = next < 0 ? std::nullopt : checked_pow(value, next);
        if (!power) return overflow();
        value = *power;
        break;
      }
      case Kind::kMin: value = std::min(value, next); break;
      default: value = std::max(value, next); break;
    }
  }
  return value;
}

Dim Dim::substitute(const std::map<std::string, Dim, std::less<>>& by) const {
  if (is_constant()) return *this;
  if (kind() == Kind::kSymbol) {
    const auto found = by.find(expr_->name);
    return found == by.end() ? *this : found->second;
  }
  Dim value = expr_->operands[0].substitute(by);
  for (const Dim& operand : std::span(expr_->operands).subspan(1)) {
    const Dim next = operand.substitute(by);
    switch (kind()) {
      case Kind::kAdd: value = value + next; break;
      case Kind::kMul: value = value * next; break;
      case Kind::kFloorDiv: value = floor_div(value, next); break;
      case Kind::kMod: value = mod(value, next); break;
      case Kind::kPow: value = pow(value, next); break;
      case Kind::kMin: value = min(value, next); break;
      default: value = max(value, next); break;
    }
  }
  return value;
}

void Dim::collect_symbols(std::vector<std::string>& names) const {
  if (kind() == Kind::kSymbol && std::find(names.begin(), names.end(), expr_->name) == names.end()) {
    names.push_back(expr_->name);
  }
  for (const Dim& operand : operands()) operand.collect_symbols(names);
}

std::string Dim::text() const { return expr_ ? expr_->text : std::to_string(constant_); }

DimBindings opt_bindings(std::span<const Symbol> symbols) {
  DimBindings bindings;
  for (const Symbol& symbol : symbols) bindings[symbol.name] = symbol.opt;
  return bindings;
}

}  // namespace headrace
