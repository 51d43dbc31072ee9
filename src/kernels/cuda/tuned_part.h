// tuned_part: a part of a kernel for whose making one of several candidates is chosen.
#pragma once

#include <string>
#include <utility>

#include "kernels/cuda/libraries.h"
#include "kernels/cuda/step_kernel.h"

namespace headrace::cuda {

// Shapes other than the profile's opt may never come again, and are not worth timing.
inline ChoiceMode choice_mode(const StepShapes& step) {
  if (step.tuning->deterministic()) return ChoiceMode::kDeterministic;
  return step.dims == step.opt && !step.tuning->exhausted() ? ChoiceMode::kTimed : ChoiceMode::kKnown;
}

// The part for `problem`, which steps share, also those of other engines; and notes what became of it. Parts
// of another mode are parts of their own: nobody is given a first guess who would have timed.
template <class T, class Make>
Result<std::shared_ptr<const T>> tuned_part(const StepShapes& step, const std::string& problem,
                                            const Make& make) {
  const ChoiceMode mode = choice_mode(step);
  bool is_new = false;
  const auto make_here = [&] {
    is_new = true;
    return make(mode);
  };
  HR_ASSIGN(std::shared_ptr<const T> part,
            step.libraries->shared<T>(fmt::format("{} mode {}", problem, static_cast<int>(mode)), make_here));
  if (mode != ChoiceMode::kDeterministic && step.dims == step.opt) {
    const TuningOutcome outcome = part->outcome();
    step.tuning->note(problem,
                      is_new || outcome == TuningOutcome::kUntuned ? outcome : TuningOutcome::kKnown);
  }
  return part;
}

}  // namespace headrace::cuda
