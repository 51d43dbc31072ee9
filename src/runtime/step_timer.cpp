#include "runtime/step_timer.h"

#include "core/error.h"

namespace headrace::runtime {

Status StepTimer::mark(StepIndex step, WorkQueue& queue) {
  HR_ASSIGN(auto event, device_.make_timed_event());
  HR_TRY(queue.record(*event));
  marks_.push_back({step, std::move(event)});
  return {};
}

Status StepTimer::tell(StepTimes& times) const {
  for (size_t i = 0; i + 1 < marks_.size(); i += 2) {
    HR_ASSIGN(const int64_t ns, marks_[i + 1].event->ns_since(*marks_[i].event));
    times.note(marks_[i].step, ns);
  }
  times.settle();
  return {};
}

}  // namespace headrace::runtime
