// Element: one element in memory as a double, whatever its dtype. For literals and tests, not for loops over
// tensors.
#pragma once

#include <cstddef>

#include <headrace/dtype.h>

namespace headrace {

// REQUIRES: dtype_size(dtype) bytes at `at`, at any address. An i64 beyond 2^53 is rounded.
double load_element(DType dtype, const std::byte* at);
// Integers are truncated. REQUIRES: `value` fits an integer dtype.
void store_element(DType dtype, double value, std::byte* at);
// `value` as an element of `dtype` holds it.
double rounded_to(DType dtype, double value);

}  // namespace headrace
