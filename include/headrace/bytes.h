// Bytes: a size in memory or in a file; never a count of elements.
#pragma once

#include <compare>
#include <cstdint>

namespace headrace {

struct Bytes {
  int64_t count = 0;

  constexpr auto operator<=>(const Bytes&) const = default;
  constexpr Bytes operator+(Bytes b) const { return {count + b.count}; }
  constexpr Bytes operator-(Bytes b) const { return {count - b.count}; }
  constexpr Bytes operator*(int64_t n) const { return {count * n}; }
  constexpr Bytes& operator+=(Bytes b) { return count += b.count, *this; }
  constexpr Bytes& operator-=(Bytes b) { return count -= b.count, *this; }
};

constexpr Bytes kib(int64_t n) { return {n << 10}; }
constexpr Bytes mib(int64_t n) { return {n << 20}; }
constexpr Bytes gib(int64_t n) { return {n << 30}; }

}  // namespace headrace
