#include "frontend/dim_range.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace headrace::frontend {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr DimRange kUnknown = {-kInfinity, kInfinity};

DimRange product(DimRange a, DimRange b) {
  const auto times = [](double x, double y) { return x == 0 || y == 0 ? 0 : x * y; };
  const auto [low, high] =
      std::minmax({times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)});
  return {low, high};
}

DimRange quotient(DimRange a, DimRange b) {
  if (b.low <= 0) return kUnknown;
  const auto [low, high] = std::minmax({a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high});
  return {std::floor(low), std::floor(high)};
}

DimRange symbol_range(const std::string& name, const std::vector<Symbol>& symbols) {
  for (const Symbol& symbol : symbols) {
    if (symbol.name == name) return {static_cast<double>(symbol.min), static_cast<double>(symbol.max)};
  }
  return kUnknown;
}

}  // namespace

DimRange range_of(const Dim& dim, const std::vector<Symbol>& symbols) {
  if (dim.is_constant()) return {static_cast<double>(dim.constant()), static_cast<double>(dim.constant())};
  if (dim.kind() == Dim::Kind::kSymbol) return symbol_range(dim.name(), symbols);
  std::vector<DimRange> parts;
  for (const Dim& operand : dim.operands()) parts.push_back(range_of(operand, symbols));
  if (parts.empty()) return kUnknown;
  DimRange result = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) {
    const DimRange b = parts[i];
    switch (dim.kind()) {
      case Dim::Kind::kAdd: result = {result.low + b.low, result.high + b.high}; break;
      case Dim::Kind::kMul: result = product(result, b); break;
      case Dim::Kind::kFloorDiv: result = quotient(result, b); break;
      case Dim::Kind::kMod: result = b.low > 0 ? DimRange{0, b.high - 1} : kUnknown; break;
      case Dim::Kind::kMin: result = {std::min(result.low, b.low), std::min(result.high, b.high)}; break;
      case Dim::Kind::kMax: result = {std::max(result.low, b.low), std::max(result.high, b.high)}; break;
      default: return kUnknown;
    }
  }
  return result;
}

bool always_at_most(const Dim& a, const Dim& b, const std::vector<Symbol>& symbols) {
  if (a == b) return true;
  return range_of(b - a, symbols).low >= 0;
}

}  // namespace headrace::frontend
