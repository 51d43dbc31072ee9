// Casts between the element types, as PyTorch does them.
#pragma once

#include <cstddef>
#include <span>

#include <headrace/dtype.h>

namespace headrace {

// Elements of `from` in `in` -> elements of `to` in `out`. Floats truncate to integers, and wrap where they
// do not fit; those outside int64 and NaN become its least value. Everything but 0 is true. REQUIRES: both
// spans hold the same number of elements and do not overlap.
void cast_elements(DType from, std::span<const std::byte> in, DType to, std::span<std::byte> out);

}  // namespace headrace
