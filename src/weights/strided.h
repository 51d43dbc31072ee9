// Strided windows, of memory and of a source storage, made contiguous.
#pragma once

#include <cstddef>
#include <span>

#include <headrace/status.h>
#include "weights/weights.h"

namespace headrace {

// Copies the window (sizes, strides, offset: in elements of `element` bytes) of `in` to `out`, row-major.
// REQUIRES: the window lies in `in`; no stride is negative; `out` has exactly its size.
void copy_strided(std::span<const std::byte> in, const Sizes& sizes, const Sizes& strides, int64_t offset,
                  int64_t element, std::span<std::byte> out);

// Reads a source, or a window of one, straight into `out`, row-major. What lies between the elements is
// skipped where it is large; strided windows pass through a buffer of a few MiB.
// REQUIRES: verify_source(source) is ok; `out` has exactly its size.
Status read_source(const SourceWeight& source, const WeightSourceReader& reader, std::span<std::byte> out);

// The window (sizes, strides, offset) of the row-major elements of `source`, as a source itself. REQUIRES:
// is_row_major(source) and the window lies in it.
SourceWeight window_of(const SourceWeight& source, Sizes sizes, Sizes strides, int64_t offset);
bool is_row_major(const SourceWeight& source);

}  // namespace headrace
