// PyTorch's type promotion.
#pragma once

#include <span>

#include "frontend/op_call.h"

namespace headrace::frontend {

DType promote(DType a, DType b);
// Of the operands of one op: tensors with dims come first, then tensors of rank 0, then Python numbers; a
// later class counts only where its category (bool, integer, float) is higher.
DType result_dtype(std::span<const Operand> operands);
// The operand in `dtype`; a number becomes a literal of it.
Emitted as_dtype(Emitter& emit, const Operand& operand, DType dtype);
// What PyTorch's kernels compute 16-bit floats in, f32; else the dtype itself.
DType opmath_dtype(DType dtype);
// Whether the operand, a number or a tensor of rank 0, may lose digits when it becomes `dtype`.
bool is_rounded_by(const Operand& operand, DType dtype);
// f32 where it is an integer or bool: what division and the like compute in.
DType float_dtype(DType dtype);

}  // namespace headrace::frontend
