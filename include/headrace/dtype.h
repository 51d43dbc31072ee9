// DType: the element types of tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace headrace {

// The numbers are stored in engine files: append, never renumber.
enum class DType : uint8_t {
  kBool = 0,  // one byte, 0 or 1
  kU8 = 1,
  kI8 = 2,
  kI16 = 3,
  kI32 = 4,
  kI64 = 5,
  kF16 = 6,
  kBF16 = 7,
  kF32 = 8,
  kF64 = 9,
};
inline constexpr int kDTypeCount = 10;

int64_t dtype_size(DType dtype);           // bytes of an element
std::string_view dtype_name(DType dtype);  // "f32", "bf16", "i64", "bool", ...
std::optional<DType> parse_dtype(std::string_view name);
bool is_float(DType dtype);
bool is_integer(DType dtype);  // bool is not one

}  // namespace headrace
