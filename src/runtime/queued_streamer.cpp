#include "runtime/queued_streamer.h"

#include <utility>

#include "core/error.h"
#include "runtime/weight_planner.h"

namespace headrace::runtime {

void QueuedStreamer::drop() {
  active_ = false;
  (void)scratch_.resize({});
  arrived_.clear();
  finished_.clear();
  source_ = nullptr;
}

Status QueuedStreamer::configure(StreamSchedule schedule, CopySource* source) {
  drop();
  const bool streams = !schedule.loads.empty();
  if (streams) HR_TRY(scratch_.resize(schedule.scratch));
  std::byte* const base = streams ? scratch_.data() : nullptr;
  if (base != base_ || schedule != schedule_) ++version_;
  base_ = base;
  schedule_ = std::move(schedule);
  if (!streams) return {};
  Status status = make_events();
  if (!status.ok()) {
    drop();
    return status;
  }
  active_ = true;
  source_ = source;
  return {};
}

Status QueuedStreamer::make_events() {
  if (!copies_) {
    HR_ASSIGN(forked_, device_.make_event());
    HR_ASSIGN(joined_, device_.make_event());
    HR_ASSIGN(copies_, device_.make_work_queue());  // last: it says that all three are there
  }
  finished_.resize(schedule_.step_loads.size());
  for (const StreamLoad& load : schedule_.loads) {
    HR_ASSIGN(arrived_.emplace_back(), device_.make_event());
    if (load.issue_after == kNone || finished_[static_cast<size_t>(load.issue_after)]) continue;
    HR_ASSIGN(finished_[static_cast<size_t>(load.issue_after)], device_.make_event());
  }
  return {};
}

Status QueuedStreamer::begin(WorkQueue& compute, CopyTimer* timer) {
  if (idle()) return {};
  next_ = 0;
  timer_ = timer;
  // Also behind the run before, whose last steps may still read the places that the first copies take.
  HR_TRY(compute.record(*forked_));
  HR_TRY(copies_->wait(*forked_));
  is_forked_ = true;
  return issue(kNone);
}

// The next load's. Where the load before has waited for the same step, its place is free too.
Status QueuedStreamer::wait_for_place() {
  const StepIndex after = schedule_.loads[next_].issue_after;
  if (next_ > 0 && after == schedule_.loads[next_ - 1].issue_after) return {};
  if (timer_) HR_TRY(timer_->end(*copies_));
  if (after != kNone) HR_TRY(copies_->wait(*finished_[static_cast<size_t>(after)]));
  return timer_ ? timer_->begin(*copies_) : Status();
}

Status QueuedStreamer::issue(StepIndex finished) {
  for (; next_ < schedule_.loads.size() && schedule_.loads[next_].issue_after <= finished; ++next_) {
    const StreamLoad& load = schedule_.loads[next_];
    const WeightGroup& group = file_.plan().groups[static_cast<size_t>(load.group)];
    HR_TRY(wait_for_place());
    Status status = source_->copy(group.offset, group.size, data(load), *copies_);
    if (!status.ok()) {
      return status.with_context(fmt::format("weight {}", group_name(file_.plan(), load.group)));
    }
    if (timer_) timer_->add(group.size);
    HR_TRY(copies_->record(*arrived_[next_]));
  }
  return {};
}

Result<std::span<const StreamLoad>> QueuedStreamer::acquire(StepIndex step, WorkQueue& compute) {
  if (idle()) return std::span<const StreamLoad>();
  const auto begin = static_cast<size_t>(schedule_.step_loads[static_cast<size_t>(step)]);
  const auto end = static_cast<size_t>(schedule_.step_loads[static_cast<size_t>(step) + 1]);
  for (size_t i = begin; i < end; ++i) HR_TRY(compute.wait(*arrived_[i]));
  return std::span<const StreamLoad>(schedule_.loads).subspan(begin, end - begin);
}

Status QueuedStreamer::release(StepIndex step, WorkQueue& compute) {
  if (idle()) return {};
  if (Event* event = finished_[static_cast<size_t>(step)].get()) HR_TRY(compute.record(*event));
  return issue(step);
}

Status QueuedStreamer::end(WorkQueue& compute) {
  if (!std::exchange(is_forked_, false)) return {};
  if (CopyTimer* const timer = std::exchange(timer_, nullptr)) HR_TRY(timer->end(*copies_));
  HR_TRY(copies_->record(*joined_));
  return compute.wait(*joined_);
}

void QueuedStreamer::abandon() {
  is_forked_ = false;
  timer_ = nullptr;
  if (copies_) (void)copies_->synchronize();
}

}  // namespace headrace::runtime
