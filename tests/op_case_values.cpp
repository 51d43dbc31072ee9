// The values of operands, and how results are compared.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "core/half.h"
#include "core/pointwise.h"
#include "core/shape.h"
#include "op_cases.h"

namespace headrace::test {

namespace {

uint64_t bits_at(uint64_t seed, uint64_t index) {  // splitmix64 of a counter
  uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr std::array<double, 12> kSpecialFloats = {std::numeric_limits<double>::quiet_NaN(),
                                                   kInf,
                                                   -kInf,
                                                   0.0,
                                                   -0.0,
                                                   1.0,
                                                   -1.0,
                                                   0.5,
                                                   -2.5,
                                                   3.0,
                                                   1e-30,
                                                   -1e30};

double float_value(const OpOperand& operand, uint64_t bits) {
  if (operand.special) return kSpecialFloats[bits % kSpecialFloats.size()];
  const double unit = static_cast<double>(bits >> 11) * 0x1p-53;
  return operand.low + (operand.high - operand.low) * unit;
}

int64_t integer_value(const OpOperand& operand, uint64_t bits) {
  if (operand.dtype == DType::kBool) {
    if (operand.low == operand.high) return operand.low != 0;
    return static_cast<int64_t>((bits >> 32) & 1);
  }
  const bool is_signed = operand.dtype != DType::kU8;
  if (operand.special) {
    const auto width = static_cast<int>(dtype_size(operand.dtype)) * 8;
    const int64_t most = is_signed ? std::numeric_limits<int64_t>::max() >> (64 - width) : 255;
    const int64_t least = is_signed ? -most - 1 : 0;
    const std::array<int64_t, 6> choices = {least, most, 0, 1, std::max<int64_t>(least, -1), 7};
    return choices[bits % choices.size()];
  }
  const auto low = static_cast<int64_t>(operand.low), high = static_cast<int64_t>(operand.high);
  return low + static_cast<int64_t>(bits % static_cast<uint64_t>(high - low + 1));
}

template <class T>
void put(HostTensor& tensor, size_t index, T value) {
  std::memcpy(tensor.bytes.data() + index * sizeof(T), &value, sizeof(T));
}

void put_float(HostTensor& tensor, size_t index, double value) {
  switch (tensor.dtype) {
    case DType::kF64: return put(tensor, index, value);
    case DType::kF32: return put(tensor, index, static_cast<float>(value));
    case DType::kBF16: return put(tensor, index, float_to_bf16(static_cast<float>(value)));
    default: return put(tensor, index, float_to_f16(static_cast<float>(value)));
  }
}

template <class T>
T get(const HostTensor& tensor, size_t index) {
  T value;
  std::memcpy(&value, tensor.bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

double number_at(const HostTensor& tensor, size_t index) {
  switch (tensor.dtype) {
    case DType::kF64: return get<double>(tensor, index);
    case DType::kF32: return get<float>(tensor, index);
    case DType::kBF16: return bf16_to_float(get<uint16_t>(tensor, index));
    case DType::kF16: return f16_to_float(get<uint16_t>(tensor, index));
    default: return 0;
  }
}

double epsilon(DType dtype) {
  switch (dtype) {
    case DType::kF64: return 0x1p-52;
    case DType::kF32: return 0x1p-23;
    case DType::kF16: return 0x1p-10;
    default: return 0x1p-7;
  }
}

std::string shape_text(const HostTensor& tensor) {
  return fmt::format("{}{}", dtype_name(tensor.dtype), to_text(std::span<const int64_t>(tensor.shape)));
}

// What rounding inside of products may cost, where the largest result is `scale`.
double lost_inside(Inside inside, DType dtype, double scale) {
  if (inside == Inside::kExact) return 0;
  if (inside != Inside::kTf32 || dtype != DType::kF32) return epsilon(dtype) * scale;
  // A function such as tanh may have squeezed what a sum of products of up to 4 has lost.
  constexpr double kTf32 = 0x1p-9, kSum = 4;
  return kTf32 * std::max(scale, kSum);
}

std::string float_difference(const HostTensor& got, const HostTensor& want, int64_t terms, Inside inside) {
  const auto count = static_cast<size_t>(element_count(std::span<const int64_t>(want.shape)));
  double scale = 0;
  for (size_t i = 0; i < count; ++i)
    if (const double x = std::fabs(number_at(want, i)); std::isfinite(x)) scale = std::max(scale, x);
  const double sum_epsilon = want.dtype == DType::kF64 ? 0x1p-50 : 0x1p-21;
  const double lost = sum_epsilon * std::sqrt(static_cast<double>(std::max<int64_t>(terms, 1)));
  for (size_t i = 0; i < count; ++i) {
    const double a = number_at(got, i), b = number_at(want, i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double bound = 4 * epsilon(want.dtype) * std::fabs(b) + lost * std::max(scale, 1e-3) +
                         lost_inside(inside, want.dtype, scale);
    if (!(std::fabs(a - b) <= bound))
      return fmt::format("element {} of {} is {}, not {} (within {:.3g})", i, shape_text(want), a, b, bound);
  }
  return "";
}

}  // namespace

HostTensor make_operand(const OpCase& test, size_t index, const DimBindings& bindings) {
  const OpOperand& operand = test.operands[index];
  HostTensor tensor;
  tensor.dtype = operand.dtype;
  tensor.shape = *evaluate(std::span<const Dim>(operand.shape), bindings);
  const auto count = static_cast<size_t>(element_count(std::span<const int64_t>(tensor.shape)));
  tensor.bytes.resize(count * static_cast<size_t>(dtype_size(operand.dtype)));
  const uint64_t seed = fnv(fmt::format("{}#{}", test.id, index));
  for (size_t i = 0; i < count; ++i) {
    const uint64_t bits = bits_at(seed, i);
    if (is_float(operand.dtype)) {
      put_float(tensor, i, float_value(operand, bits));
      continue;
    }
    const int64_t value =
        integer_value(operand, bits);  // little-endian: its low bytes are the narrow integer
    const auto size = static_cast<size_t>(dtype_size(operand.dtype));
    std::memcpy(tensor.bytes.data() + i * size, &value, size);
  }
  return tensor;
}

std::string difference(const HostTensor& got, const HostTensor& want, int64_t terms, Inside inside) {
  if (got.dtype != want.dtype || got.shape != want.shape)
    return fmt::format("the result is {}, not {}", shape_text(got), shape_text(want));
  if (is_float(want.dtype)) return float_difference(got, want, terms, inside);
  const auto size = static_cast<size_t>(dtype_size(want.dtype));
  for (size_t i = 0; i < want.bytes.size(); ++i)
    if (got.bytes[i] != want.bytes[i])
      return fmt::format("element {} of {} differs", i / size, shape_text(want));
  return "";
}

bool attends(const OpCase& test) {
  return std::ranges::any_of(test.lines,
                             [](const std::string& line) { return line.find("= attention(") != line.npos; });
}

int64_t product_terms(const OpCase& test, const DimBindings& bindings) {
  if (test.op != "graph" && find_pointwise(test.op)) return 1;
  int64_t most = 1;
  for (size_t i = 0; i < test.operands.size(); ++i) {
    const OpOperand& operand = test.operands[i];
    if (operand.kind == OpOperand::Kind::kAbsent) continue;
    most = std::max(
        most,
        element_count(std::span<const int64_t>(*evaluate(std::span<const Dim>(operand.shape), bindings))));
  }
  return std::min<int64_t>(most, 4096);
}

}  // namespace headrace::test
