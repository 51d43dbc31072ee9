// What the pointwise step can compute, for the lowering to ask.
#pragma once

#include "core/pointwise.h"

namespace headrace::cpu {

// Whether `function` is computed on operands of `dtype` (for where: of a and b). PyTorch's own rules: no
// exponentials of integers, no bits of floats, no difference of bools.
bool computes(Pointwise function, DType dtype);

}  // namespace headrace::cpu
