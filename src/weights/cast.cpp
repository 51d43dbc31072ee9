#include "weights/cast.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/half.h"

namespace headrace {
namespace {

// An element type: how it is stored, and the type it is computed in.
template <class Stored>
struct Plain {
  using stored = Stored;
  static auto load(Stored bits) {
    if constexpr (std::is_floating_point_v<Stored>) {
      return bits;
    } else {
      return static_cast<int64_t>(bits);
    }
  }
};
struct Bool : Plain<uint8_t> {
  static int64_t load(uint8_t bits) { return bits != 0; }
};
struct F16 {
  using stored = uint16_t;
  static float load(uint16_t bits) { return f16_to_float(bits); }
};
struct BF16 {
  using stored = uint16_t;
  static float load(uint16_t bits) { return bf16_to_float(bits); }
};

template <class T>
int64_t to_integer(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    constexpr T kLimit = 9223372036854775808.0;  // 2^63
    if (!(value >= -kLimit && value < kLimit)) return std::numeric_limits<int64_t>::min();
  }
  return static_cast<int64_t>(value);
}

template <class To, class T>
typename To::stored store(T value) {
  if constexpr (std::is_same_v<To, Bool>) {
    return value != 0;
  } else if constexpr (std::is_same_v<To, F16>) {
    return float_to_f16(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, BF16>) {
    return float_to_bf16(static_cast<float>(value));
  } else if constexpr (std::is_floating_point_v<typename To::stored>) {
    return static_cast<typename To::stored>(value);
  } else {
    return static_cast<typename To::stored>(to_integer(value));
  }
}

template <class From, class To>
void cast_all(const std::byte* in, std::byte* out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    typename From::stored bits;
    std::memcpy(&bits, in + i * sizeof(bits), sizeof(bits));
    const typename To::stored result = store<To>(From::load(bits));
    std::memcpy(out + i * sizeof(result), &result, sizeof(result));
  }
}

// Calls `f` with the element type that `dtype` names.
template <class F>
void with_type(DType dtype, F f) {
  switch (dtype) {
    case DType::kBool: return f(Bool{});
    case DType::kU8: return f(Plain<uint8_t>{});
    case DType::kI8: return f(Plain<int8_t>{});
    case DType::kI16: return f(Plain<int16_t>{});
    case DType::kI32: return f(Plain<int32_t>{});
    case DType::kI64: return f(Plain<int64_t>{});
    case DType::kF16: return f(F16{});
    case DType::kBF16: return f(BF16{});
    case DType::kF32: return f(Plain<float>{});
    case DType::kF64: return f(Plain<double>{});
  }
}

}  // namespace

void cast_elements(DType from, std::span<const std::byte> in, DType to, std::span<std::byte> out) {
  if (in.empty()) return;
  if (from == to) {
    std::memcpy(out.data(), in.data(), in.size());
    return;
  }
  const size_t count = in.size() / static_cast<size_t>(dtype_size(from));
  with_type(from, [&](auto from_type) {
    with_type(to, [&](auto to_type) {
      cast_all<decltype(from_type), decltype(to_type)>(in.data(), out.data(), count);
    });
  });
}

}  // namespace headrace
