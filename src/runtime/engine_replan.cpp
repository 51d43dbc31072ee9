// The engine's own changes of what is resident: the budget stays, other weights are found to gain more by it.
#include <algorithm>
#include <chrono>
#include <cstdint>

#include "core/error.h"
#include "runtime/context_impl.h"
#include "runtime/engine_impl.h"

namespace headrace::runtime {

void EngineImpl::take_pace() {
  for (const Member& member : members_) {
    if (!member.context->step_times().settled()) continue;
    replanner_.follow({member.context->step_times().get(), member.context->link_rate().get()});
    return;
  }
}

// The scratch of each context comes beside what is resident. A limit has been looked at before.
bool EngineImpl::has_memory_for(const std::vector<bool>& better, const std::vector<bool>& now) const {
  const Bytes each = planner_.wanted(better) - planner_.wanted(now);
  const Bytes weights = planner_.resident(better) - planner_.resident(now);
  const auto contexts = static_cast<int64_t>(members_.size());
  if (each <= Bytes{} && weights <= Bytes{}) return true;
  return Bytes{std::max<int64_t>(0, each.count) * contexts} + std::max(Bytes{}, weights) <=
         device_->available();
}

// With the scratch of the context that is about to run, which tells what is too large.
Status EngineImpl::move_for_pace(ContextImpl& context, const std::vector<bool>& better) {
  const std::vector<bool> before = residency_.resident();
  Status status = move_weights(better, {});
  if (status.ok()) status = context.follow_residency();
  if (!status.ok() && residency_.resident() != before) (void)move_weights(before, {});
  return status;
}

void EngineImpl::follow_pace(ContextImpl& context) {
  // Runs of other contexts that are under way go before, so many times; then they are waited for.
  constexpr int kMostPutOff = 16;
  constexpr int64_t kMostWait = 60'000'000'000;
  if (gate_.is_held_here()) return;
  const std::unique_lock lock(change_mutex_, std::try_to_lock);
  if (!lock || !pace_is_due_.exchange(false)) return;
  take_pace();
  Residents residents = {residency_.resident(), weight_budget(), {INT64_MAX}};
  for (const Member& member : members_) {
    if (member.room) residents.room = std::min(residents.room, *member.room);
  }
  const Replanner::Better* const better = replanner_.look(planner_, residents);
  if (!better) return;
  const bool waits = put_off_ >= kMostPutOff;
  const int64_t a_run_or_two = 2 * std::min(better->run_ns, kMostWait);
  const RunGate::Change change(gate_, std::chrono::nanoseconds(waits ? a_run_or_two : 0));
  if (!change.closed() && !waits) {
    ++put_off_;
    note_pace();
    return;
  }
  put_off_ = 0;
  const bool moved = change.closed() && has_memory_for(better->set, residents.now) &&
                     move_for_pace(context, better->set).ok();
  if (moved) pace_ = replanner_.pace();
  replanner_.moved();
}

}  // namespace headrace::runtime
