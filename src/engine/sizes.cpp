#include "engine/sizes.h"

#include <algorithm>

namespace headrace {

std::optional<int64_t> checked_elements(std::span<const int64_t> sizes) {
  int64_t count = 1;
  bool empty = false;
  for (const int64_t size : sizes) {
    if (size < 0) return std::nullopt;
    if (size == 0) {
      empty = true;
      continue;
    }
    // Zeros are left out, so that strides made from these sizes do not overflow either.
    if (__builtin_mul_overflow(count, size, &count)) return std::nullopt;
  }
  return empty ? 0 : count;
}

std::optional<Bytes> checked_bytes(DType dtype, std::span<const int64_t> sizes) {
  const std::optional<int64_t> count = checked_elements(sizes);
  if (!count) return std::nullopt;
  const std::optional<int64_t> bytes = checked_multiply(*count, dtype_size(dtype));
  return bytes ? std::optional(Bytes{*bytes}) : std::nullopt;
}

std::optional<int64_t> window_end(std::span<const int64_t> sizes, std::span<const int64_t> strides,
                                  int64_t offset) {
  if (sizes.size() != strides.size() || offset < 0) return std::nullopt;
  int64_t last = offset;
  bool empty = false;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0 || strides[i] < 0) return std::nullopt;
    if (sizes[i] == 0) {
      empty = true;
      continue;
    }
    int64_t reach = 0;
    if (__builtin_mul_overflow(sizes[i] - 1, strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last))
      return std::nullopt;
  }
  if (empty) return 0;
  return checked_add(last, 1);
}

}  // namespace headrace
