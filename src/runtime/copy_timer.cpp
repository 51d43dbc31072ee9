#include "runtime/copy_timer.h"

#include "core/error.h"

namespace headrace::runtime {

Status CopyTimer::begin(WorkQueue& copies) {
  HR_ASSIGN(auto event, device_.make_timed_event());
  HR_TRY(copies.record(*event));
  stretches_.push_back({{}, std::move(event), nullptr});
  return {};
}

Status CopyTimer::end(WorkQueue& copies) {
  if (stretches_.empty() || stretches_.back().end) return {};
  HR_ASSIGN(auto event, device_.make_timed_event());
  HR_TRY(copies.record(*event));
  stretches_.back().end = std::move(event);
  return {};
}

Status CopyTimer::tell(LinkRate& rate) const {
  for (const Stretch& stretch : stretches_) {
    if (!stretch.end) continue;
    HR_ASSIGN(const int64_t ns, stretch.end->ns_since(*stretch.begin));
    rate.note(stretch.size, ns);
  }
  return {};
}

}  // namespace headrace::runtime
