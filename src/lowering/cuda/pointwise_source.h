// PointwiseSource: a pointwise program as CUDA C++.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/pointwise.h"

namespace headrace::cuda {

// Whether the function is defined for operands of this dtype.
bool computes(Pointwise function, DType dtype);

// Statements that make registers r<inputs> … from r0 …, one a line: "const float r2 = fn_add(r0, r1);".
std::string instructions_text(const PointwiseProgram& program);

// The functor of a product's epilogue: struct `name` with of(x); "" is the identity.
std::string epilogue_text(std::string_view name, std::string_view epilogue, DType dtype);

}  // namespace headrace::cuda
