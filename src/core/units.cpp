#include "core/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace headrace {

std::string to_text(Bytes bytes) {
  static constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes.count);
  size_t unit = 0;
  while (std::abs(value) >= 1024 && unit + 1 < kUnits.size()) value /= 1024, ++unit;
  if (unit == 0) return fmt::format("{} B", bytes.count);
  return fmt::format("{:.{}f} {}", value, unit >= 3 ? 2 : 1, kUnits[unit]);
}

namespace {

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

struct Number {
  double value;
  std::string_view rest;  // trimmed
};

Result<Number> leading_number(std::string_view text, std::string_view kind) {
  const std::string_view body = trimmed(text);
  double value = 0;
  const auto [end, error] =
      std::from_chars(body.data(), body.data() + body.size(), value, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(value)) {
    return invalid_argument("'{}' is no {}; write for example 512MiB, 1.5GiB or 1048576", text, kind);
  }
  if (value < 0 || body.starts_with('-'))
    return invalid_argument("'{}': a {} cannot be negative", text, kind);
  return Number{value, trimmed(std::string_view(end, body.data() + body.size()))};
}

Result<Bytes> with_unit(const Number& number, std::string_view text, std::string_view kind) {
  struct Unit {
    std::string_view name;
    double factor;
  };
  static constexpr std::array<Unit, 9> kUnits = {{{"", 1},
                                                  {"B", 1},
                                                  {"KiB", 1024.0},
                                                  {"MiB", 1024.0 * 1024},
                                                  {"GiB", 1024.0 * 1024 * 1024},
                                                  {"TiB", 1024.0 * 1024 * 1024 * 1024},
                                                  {"KB", 1e3},
                                                  {"MB", 1e6},
                                                  {"GB", 1e9}}};
  for (const Unit& unit : kUnits) {
    if (number.rest != unit.name) continue;
    const double bytes = number.value * unit.factor;
    if (bytes >= static_cast<double>(std::numeric_limits<int64_t>::max())) {
      return invalid_argument("'{}' is too large for a {}", text, kind);
    }
    return Bytes{static_cast<int64_t>(bytes)};
  }
  return invalid_argument("'{}': '{}' is no unit; use B, KiB, MiB, GiB, TiB, KB, MB or GB, as in 512MiB",
                          text, number.rest);
}

}  // namespace

Result<Bytes> parse_bytes(std::string_view text) {
  HR_ASSIGN(const Number number, leading_number(text, "size"));
  return with_unit(number, text, "size");
}

Result<BudgetText> parse_budget(std::string_view text) {
  const std::string_view body = trimmed(text);
  if (body == "all") return BudgetText{BudgetText::Kind::kAll, {}, 0};
  if (body == "auto") return BudgetText{BudgetText::Kind::kAuto, {}, 0};
  const Result<Number> number = leading_number(text, "weight budget");
  if (!number.ok()) {
    if (body.starts_with('-')) return number.status();
    return invalid_argument(
        "'{}' is no weight budget; write all, auto, a share as in 10%, or a size as in 512MiB", text);
  }
  if (number->rest != "%") {
    HR_ASSIGN(const Bytes bytes, with_unit(*number, text, "weight budget"));
    return BudgetText{BudgetText::Kind::kBytes, bytes, 0};
  }
  if (number->value > 100) return invalid_argument("'{}': a share cannot exceed 100%", text);
  return BudgetText{BudgetText::Kind::kShare, {}, std::llround(number->value * 10000)};
}

}  // namespace headrace
