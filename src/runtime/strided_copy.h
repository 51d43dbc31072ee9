// Copies between strided windows of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <headrace/tensor.h>

namespace headrace::runtime {

// Copies elements of `element` bytes; strides in elements. REQUIRES: the windows do not overlap.
void strided_copy(std::byte* to, std::span<const int64_t> to_strides, const std::byte* from,
                  std::span<const int64_t> from_strides, std::span<const int64_t> sizes, int64_t element);

void copy_to_dense(const Tensor& from, std::byte* to);
void copy_from_dense(const std::byte* from, const Tensor& to);

}  // namespace headrace::runtime
