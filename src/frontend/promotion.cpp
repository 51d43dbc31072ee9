#include "frontend/promotion.h"

#include <algorithm>
#include <optional>

#include "core/element.h"

namespace headrace::frontend {

DType promote(DType a, DType b) {
  if (a == b || b == DType::kBool) return a;
  if (a == DType::kBool) return b;
  if (is_float(a) != is_float(b)) return is_float(a) ? a : b;
  const bool halves = (a == DType::kF16 && b == DType::kBF16) || (a == DType::kBF16 && b == DType::kF16);
  if (halves) return DType::kF32;
  const bool bytes = (a == DType::kU8 && b == DType::kI8) || (a == DType::kI8 && b == DType::kU8);
  if (bytes) return DType::kI16;
  return dtype_size(a) != dtype_size(b) ? (dtype_size(a) > dtype_size(b) ? a : b) : std::max(a, b);
}

namespace {

using Found = std::optional<DType>;

Found join(Found a, Found b) {
  if (!a || !b) return a ? a : b;
  return promote(*a, *b);
}

int category(DType dtype) { return is_float(dtype) ? 2 : is_integer(dtype) ? 1 : 0; }

// `low` counts only where its category is above `high`'s.
Found outrank(Found high, Found low) {
  if (!high || !low) return high ? high : low;
  return category(*low) > category(*high) ? join(high, low) : high;
}

}  // namespace

DType result_dtype(std::span<const Operand> operands) {
  Found with_dims, without_dims, numbers;
  for (const Operand& operand : operands) {
    if (!operand.tensor) {
      numbers = join(numbers, dtype_of(operand.scalar));
    } else if (operand.tensor->rank() == 0) {
      without_dims = join(without_dims, operand.tensor->dtype());
    } else {
      with_dims = join(with_dims, operand.tensor->dtype());
    }
  }
  return outrank(with_dims, outrank(without_dims, numbers)).value_or(DType::kF32);
}

Emitted as_dtype(Emitter& emit, const Operand& operand, DType dtype) {
  if (operand.tensor) return emit.cast(operand.tensor, dtype);
  return emit.number(dtype, operand.scalar);
}

DType opmath_dtype(DType dtype) { return is_float(dtype) && dtype_size(dtype) == 2 ? DType::kF32 : dtype; }

bool is_rounded_by(const Operand& operand, DType dtype) {
  if (operand.tensor) return operand.tensor->rank() == 0 && operand.tensor->dtype() != dtype;
  const std::optional<double> number = constant_of(operand.scalar);
  return !number || (is_float(dtype) && rounded_to(dtype, *number) != *number);
}

DType float_dtype(DType dtype) { return is_float(dtype) ? dtype : DType::kF32; }

}  // namespace headrace::frontend
