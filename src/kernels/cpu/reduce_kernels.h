// What the kernels of the reductions' family share.
#pragma once

#include <vector>

#include "kernels/cpu/step_kernel.h"

namespace headrace::cpu {

// The dims of x apart, with the strides of x and, for those kept, of y.
struct ReducedDims {
  Sizes kept, x_kept, y_kept;
  Sizes reduced, x_reduced;
};
// The output may keep reduced dims as 1, or leave them out.
Result<ReducedDims> split_reduced(const StepShapes& step, const std::vector<bool>& is_reduced);

Result<std::unique_ptr<StepKernel>> make_arg_reduce(const StepShapes& step);
Result<std::unique_ptr<StepKernel>> make_cumsum(const StepShapes& step);

}  // namespace headrace::cpu
