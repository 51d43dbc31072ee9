// make_for_lane: a kernel that is a template of what it computes in.
#pragma once

#include <memory>

#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

// Kernel<T> for the T of a lane.
template <template <class> class Kernel, class... Args>
std::unique_ptr<StepKernel> make_for_lane(Lane lane, Args&&... args) {
  if (lane == Lane::kFloat) return std::make_unique<Kernel<float>>(std::forward<Args>(args)...);
  if (lane == Lane::kDouble) return std::make_unique<Kernel<double>>(std::forward<Args>(args)...);
  return std::make_unique<Kernel<int64_t>>(std::forward<Args>(args)...);
}

}  // namespace headrace::cpu
