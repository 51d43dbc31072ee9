#include "core/element.h"

#include <cstdint>
#include <cstring>

#include "core/half.h"

namespace headrace {

double load_element(DType dtype, const std::byte* at) {
  const auto as = [at]<class T>(T value) {
    std::memcpy(&value, at, sizeof(T));
    return value;
  };
  switch (dtype) {
    case DType::kBool: return as(uint8_t{}) != 0;
    case DType::kU8: return as(uint8_t{});
    case DType::kI8: return as(int8_t{});
    case DType::kI16: return as(int16_t{});
    case DType::kI32: return as(int32_t{});
    case DType::kI64: return static_cast<double>(as(int64_t{}));
    case DType::kF16: return f16_to_float(as(uint16_t{}));
    case DType::kBF16: return bf16_to_float(as(uint16_t{}));
    case DType::kF32: return as(float{});
    case DType::kF64: return as(double{});
  }
  return 0;
}

void store_element(DType dtype, double value, std::byte* at) {
  const auto put = [at](auto number) { std::memcpy(at, &number, sizeof(number)); };
  switch (dtype) {
    case DType::kBool: return put(static_cast<uint8_t>(value != 0));
    case DType::kU8: return put(static_cast<uint8_t>(static_cast<int64_t>(value)));
    case DType::kI8: return put(static_cast<int8_t>(static_cast<int64_t>(value)));
    case DType::kI16: return put(static_cast<int16_t>(static_cast<int64_t>(value)));
    case DType::kI32: return put(static_cast<int32_t>(static_cast<int64_t>(value)));
    case DType::kI64: return put(static_cast<int64_t>(value));
    case DType::kF16: return put(float_to_f16(static_cast<float>(value)));
    case DType::kBF16: return put(float_to_bf16(static_cast<float>(value)));
    case DType::kF32: return put(static_cast<float>(value));
    case DType::kF64: return put(value);
  }
}

double rounded_to(DType dtype, double value) {
  std::byte memory[sizeof(double)] = {};
  store_element(dtype, value, memory);
  return load_element(dtype, memory);
}

}  // namespace headrace
