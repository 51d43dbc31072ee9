// Dim: one size of a shape, a constant or an expression over named symbols.
//
// Expressions are kept in one canonical form (sums of products, like terms collected, operands sorted), so
// two Dims that are equal as polynomials compare equal. Values; immutable; cheap to copy; safe to share
// between threads. Arithmetic is on int64; floor_div and mod round towards minus infinity, as Python's do.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>

namespace headrace {

// The value of each symbol, for one run.
using DimBindings = std::map<std::string, int64_t, std::less<>>;

// A symbol with the range that its profile gives; min <= opt <= max.
struct Symbol {
  std::string name;
  int64_t min = 1;
  int64_t opt = 1;
  int64_t max = 1;
  bool operator==(const Symbol&) const = default;
};

class Dim {
 public:
  enum class Kind : uint8_t { kConstant, kSymbol, kAdd, kMul, kFloorDiv, kMod, kPow, kMin, kMax };

  Dim() = default;                          // 0
  Dim(int64_t value) : constant_(value) {}  // NOLINT: implicit, as 4 + n reads
  static Dim symbol(std::string name);      // REQUIRES: a C identifier

  Kind kind() const;
  bool is_constant() const { return expr_ == nullptr; }
  int64_t constant() const { return constant_; }  // REQUIRES: is_constant()
  const std::string& name() const;                // REQUIRES: kind() == kSymbol
  std::span<const Dim> operands() const;          // empty for constants and symbols

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  static Dim floor_div(const Dim& a, const Dim& b);
  static Dim ceil_div(const Dim& a, int64_t b) { return floor_div(a + (b - 1), b); }
  static Dim mod(const Dim& a, const Dim& b);
  static Dim pow(const Dim& a, const Dim& b);
  static Dim min(const Dim& a, const Dim& b);
  static Dim max(const Dim& a, const Dim& b);
  friend bool operator==(const Dim& a, const Dim& b);

  // Errors: kInvalidArgument where a symbol is unbound, a divisor is 0 or the result leaves int64.
  Result<int64_t> evaluate(const DimBindings& bindings) const;
  // The Dim with symbols replaced.
  Dim substitute(const std::map<std::string, Dim, std::less<>>& by) const;
  // Adds the names of the symbols used.
  void collect_symbols(std::vector<std::string>& names) const;

  // "2*s0 + 1", "(s0 + 7) // 8", "s0 % 4", "min(s0, 16)"; parse(text()) gives an equal Dim.
  std::string text() const;
  static Result<Dim> parse(std::string_view text);

 private:
  struct Expr;
  static Dim make(Kind kind, std::vector<Dim> operands);
  int64_t constant_ = 0;
  std::shared_ptr<const Expr> expr_;
};

// The bindings that set every symbol to its opt.
DimBindings opt_bindings(std::span<const Symbol> symbols);

}  // namespace headrace
