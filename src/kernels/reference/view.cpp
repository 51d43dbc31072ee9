#include "kernels/reference/view.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/half.h"

namespace headrace::reference {

namespace {

struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};

double widen(F16 value) { return f16_to_float(value.bits); }
double widen(BF16 value) { return bf16_to_float(value.bits); }
double widen(float value) { return value; }
double widen(double value) { return value; }
int64_t widen(bool) = delete;
template <class T>
int64_t widen(T value) {
  return static_cast<int64_t>(value);
}

void narrow(double value, F16& to) { to.bits = float_to_f16(static_cast<float>(value)); }
void narrow(double value, BF16& to) { to.bits = float_to_bf16(static_cast<float>(value)); }
void narrow(double value, float& to) { to = static_cast<float>(value); }
void narrow(double value, double& to) { to = value; }
template <class T>
void narrow(int64_t value, T& to) {
  to = static_cast<T>(value);
}

// Calls f with a value of the C++ type that stores `dtype`; a bool is a byte.
template <class F>
void with_type(DType dtype, F f) {
  switch (dtype) {
    case DType::kBool:
    case DType::kU8: return f(uint8_t{});
    case DType::kI8: return f(int8_t{});
    case DType::kI16: return f(int16_t{});
    case DType::kI32: return f(int32_t{});
    case DType::kI64: return f(int64_t{});
    case DType::kF16: return f(F16{});
    case DType::kBF16: return f(BF16{});
    case DType::kF32: return f(float{});
    case DType::kF64: return f(double{});
  }
}

template <class T>
T read(const std::byte* data, int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

}  // namespace

View dense_view(DType dtype, Sizes shape, std::byte* data) {
  Sizes strides = row_major_strides(std::span<const int64_t>(shape));
  return {dtype, std::move(shape), std::move(strides), data};
}

bool is_row_major(const View& view) {
  int64_t stride = 1;
  for (size_t i = view.shape.size(); i-- > 0;) {
    if (view.shape[i] == 1) continue;
    if (view.strides[i] != stride) return false;
    stride *= view.shape[i];
  }
  return true;
}

View permute(const View& view, std::span<const int64_t> perm) {
  View result{view.dtype, {}, {}, view.data};
  for (const int64_t axis : perm) {
    result.shape.push_back(view.shape[static_cast<size_t>(axis)]);
    result.strides.push_back(view.strides[static_cast<size_t>(axis)]);
  }
  return result;
}

Bytes Scratch::need(int64_t elements) { return Bytes{elements * 8}; }

Result<Array> Scratch::make(DType dtype, Sizes shape) {
  const int64_t count = element_count(std::span<const int64_t>(shape));
  if (need(count) > left_)
    return internal_error("a reference kernel needs {} more bytes of workspace than it asked for",
                          (need(count) - left_).count);
  Array array{dtype, std::move(shape), {}, {}};
  const auto size = static_cast<size_t>(count);
  if (size > 0) std::memset(next_, 0, size * 8);
  if (is_float(dtype))
    array.floats = {reinterpret_cast<double*>(next_), size};
  else
    array.integers = {reinterpret_cast<int64_t*>(next_), size};
  next_ += need(count).count;
  left_ -= need(count);
  return array;
}

Result<Array> Scratch::load(const View& view) {
  HR_ASSIGN(Array array, make(view.dtype, view.shape));
  with_type(view.dtype, [&]<class T>(T) {
    using Wide = decltype(widen(T{}));
    Wide* out = array.get<Wide>().data();
    for_each_offset(view.shape, view.strides,
                    [&](int64_t offset) { *out++ = widen(read<T>(view.data, offset)); });
  });
  if (view.dtype == DType::kBool)
    for (int64_t& value : array.integers) value = value != 0;
  return array;
}

double round_float(DType dtype, double value) {
  switch (dtype) {
    case DType::kF16: return f16_to_float(float_to_f16(static_cast<float>(value)));
    case DType::kBF16: return bf16_to_float(float_to_bf16(static_cast<float>(value)));
    case DType::kF32: return static_cast<float>(value);
    default: return value;
  }
}

int64_t wrap_integer(DType dtype, int64_t value) {
  switch (dtype) {
    case DType::kBool: return value != 0;
    case DType::kU8: return static_cast<uint8_t>(value);
    case DType::kI8: return static_cast<int8_t>(value);
    case DType::kI16: return static_cast<int16_t>(value);
    case DType::kI32: return static_cast<int32_t>(value);
    default: return value;
  }
}

void store_rounded(const Array& array, const View& to) {
  with_type(to.dtype, [&]<class T>(T) {
    using Wide = decltype(widen(T{}));
    const Wide* in = array.get<Wide>().data();
    for_each_offset(to.shape, to.strides, [&](int64_t offset) {
      T value;
      if (to.dtype == DType::kBool)
        narrow(static_cast<Wide>(*in++ != 0), value);
      else
        narrow(*in++, value);
      std::memcpy(to.data + offset * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
    });
  });
}

void copy_elements(const View& from, const View& to) {
  const int64_t size = dtype_size(from.dtype);
  const int64_t count = from.elements();
  if (count == 0) return;
  if (is_row_major(from) && is_row_major(to)) {
    std::memmove(to.data, from.data, static_cast<size_t>(count * size));
    return;
  }
  std::vector<int64_t> offsets;
  offsets.reserve(static_cast<size_t>(count));
  for_each_offset(from.shape, from.strides, [&](int64_t offset) { offsets.push_back(offset); });
  const int64_t* next = offsets.data();
  for_each_offset(to.shape, to.strides, [&](int64_t offset) {
    std::memcpy(to.data + offset * size, from.data + *next++ * size, static_cast<size_t>(size));
  });
}

Sizes broadcast_strides(const Sizes& shape, const Sizes& to) {
  const Sizes dense = row_major_strides(std::span<const int64_t>(shape));
  const size_t added = to.size() - shape.size();
  Sizes strides(to.size(), 0);
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i] == to[added + i]) strides[added + i] = dense[i];
  return strides;
}

bool can_broadcast(const Sizes& shape, const Sizes& to) {
  if (shape.size() > to.size()) return false;
  const size_t added = to.size() - shape.size();
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i] != 1 && shape[i] != to[added + i]) return false;
  return true;
}

}  // namespace headrace::reference
