// Sizes that may come from a hostile file: products and sums that say when they leave 64 bits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <headrace/bytes.h>
#include <headrace/dtype.h>
#include "core/shape.h"

namespace headrace {

inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional(sum);
}
inline std::optional<int64_t> checked_multiply(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional(product);
}

// Nothing where a size is negative, or the product of those that are not 0 leaves 64 bits.
std::optional<int64_t> checked_elements(std::span<const int64_t> sizes);
// The same in bytes. REQUIRES: a valid dtype.
std::optional<Bytes> checked_bytes(DType dtype, std::span<const int64_t> sizes);

// How many elements, from the first one of the storage, a strided window needs: one past its last element; 0
// where it is empty. Nothing where a size, stride or the offset is negative, ranks differ or 64 bits are
// left.
std::optional<int64_t> window_end(std::span<const int64_t> sizes, std::span<const int64_t> strides,
                                  int64_t offset);

constexpr Bytes align_up(Bytes size, Bytes alignment) {  // REQUIRES: no overflow
  return {(size.count + alignment.count - 1) / alignment.count * alignment.count};
}

}  // namespace headrace
