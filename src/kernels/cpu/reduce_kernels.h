// What the kernels of the reductions' family share.
#pragma once

#include <type_traits>
#include <vector>

#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

// The dims of x apart, with the strides of x and, for those kept, of y.
struct ReducedDims {
  Sizes kept, x_kept, y_kept;
  Sizes reduced, x_reduced;
};
// The output may keep reduced dims as 1, or leave them out.
Result<ReducedDims> split_reduced(const StepShapes& step, const std::vector<bool>& is_reduced);

// Kernel<T> for the T of a lane.
template <template <class> class Kernel, class... Args>
std::unique_ptr<StepKernel> make_for_lane(Lane lane, Args&&... args) {
  if (lane == Lane::kFloat) return std::make_unique<Kernel<float>>(std::forward<Args>(args)...);
  if (lane == Lane::kDouble) return std::make_unique<Kernel<double>>(std::forward<Args>(args)...);
  return std::make_unique<Kernel<int64_t>>(std::forward<Args>(args)...);
}

Result<std::unique_ptr<StepKernel>> make_arg_reduce(const StepShapes& step);
Result<std::unique_ptr<StepKernel>> make_cumsum(const StepShapes& step);

}  // namespace headrace::cpu
