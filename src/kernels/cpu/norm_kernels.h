// Kernels of the norms' family that have files of their own.
#pragma once

#include "kernels/cpu/step_kernel.h"

namespace headrace::cpu {

Result<std::unique_ptr<StepKernel>> make_rotary(const StepShapes& step);

}  // namespace headrace::cpu
