#include "runtime/strided_copy.h"

#include <cstring>

#include "core/shape.h"

namespace headrace::runtime {
namespace {

template <class T>
void copy_line(std::byte* to, int64_t to_stride, const std::byte* from, int64_t from_stride, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(to + i * to_stride * static_cast<int64_t>(sizeof(T)),
                from + i * from_stride * static_cast<int64_t>(sizeof(T)), sizeof(T));
  }
}

void copy_line(std::byte* to, int64_t to_stride, const std::byte* from, int64_t from_stride, int64_t count,
               int64_t element) {
  if (to_stride == 1 && from_stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(count * element));
    return;
  }
  switch (element) {
    case 1: return copy_line<uint8_t>(to, to_stride, from, from_stride, count);
    case 2: return copy_line<uint16_t>(to, to_stride, from, from_stride, count);
    case 4: return copy_line<uint32_t>(to, to_stride, from, from_stride, count);
    default: return copy_line<uint64_t>(to, to_stride, from, from_stride, count);
  }
}

}  // namespace

void strided_copy(std::byte* to, std::span<const int64_t> to_strides, const std::byte* from,
                  std::span<const int64_t> from_strides, std::span<const int64_t> sizes, int64_t element) {
  if (sizes.empty()) {
    std::memcpy(to, from, static_cast<size_t>(element));
    return;
  }
  for (const int64_t size : sizes) {
    if (size == 0) return;
  }
  if (sizes.size() == 1) return copy_line(to, to_strides[0], from, from_strides[0], sizes[0], element);
  for (int64_t i = 0; i < sizes[0]; ++i) {
    strided_copy(to + i * to_strides[0] * element, to_strides.subspan(1),
                 from + i * from_strides[0] * element, from_strides.subspan(1), sizes.subspan(1), element);
  }
}

void copy_to_dense(const Tensor& from, std::byte* to) {
  const Sizes dense = row_major_strides(std::span<const int64_t>(from.shape()));
  strided_copy(to, dense, from.data(), from.strides(), from.shape(), dtype_size(from.dtype()));
}

void copy_from_dense(const std::byte* from, const Tensor& to) {
  const Sizes dense = row_major_strides(std::span<const int64_t>(to.shape()));
  strided_copy(to.data(), to.strides(), from, dense, to.shape(), dtype_size(to.dtype()));
}

}  // namespace headrace::runtime
