#include "runtime/weight_planner.h"

#include <algorithm>

#include <fmt/core.h>

#include "device/device.h"
#include "runtime/row_source.h"

namespace headrace::runtime {

WeightPlanner::WeightPlanner(const Plan& plan, RowAccess rows, Bytes unit, Ahead ahead)
    : row_access_(rows),
      unit_(unit),
      ahead_(ahead),
      groups_(group_uses(plan, rows)),
      steps_(static_cast<StepIndex>(plan.steps.size()) + 1),
      streamable_(streamable_bytes(groups_)) {
  if (rows != RowAccess::kBuffered) return;
  for (const Weight& weight : plan.weights) {
    if (weight.use == WeightUse::kRows) row_buffer_ = std::max(row_buffer_, row_buffer_size(weight));
  }
}

StreamForecast WeightPlanner::forecast(const std::vector<bool>& set, const RunPace& pace, Bytes room) const {
  return forecast_run(schedule(set, room - resident(set)), groups_, pace, ahead_);
}

std::vector<bool> WeightPlanner::choose(Bytes budget, const RunPace& pace) const {
  std::vector<bool> best = choose_resident(groups_, budget, {.step_ns = pace.step_ns});
  if (pace.step_ns.size() != static_cast<size_t>(steps_) || !is_measured(pace)) return best;
  const StreamForecast usual = forecast(best, pace);
  if (!is_worth_moving(usual.run_ns, usual.run_ns - usual.wait_ns)) return best;
  int64_t best_ns = usual.run_ns;
  std::vector<std::vector<bool>> tried = {best};
  for (const bool by_reads : {true, false}) {
    for (const std::span<const int64_t> step_ns : {std::span<const int64_t>(pace.step_ns), {}}) {
      for (int early = 0; early <= kSpreadParts; ++early) {
        std::vector<bool> set = choose_resident(groups_, budget, {step_ns, early, by_reads});
        if (std::find(tried.begin(), tried.end(), set) != tried.end()) continue;
        const int64_t run_ns = forecast(set, pace).run_ns;
        if (run_ns < best_ns && is_worth_moving(usual.run_ns, run_ns)) {
          best_ns = run_ns;
          best = set;
        }
        tried.push_back(std::move(set));
      }
    }
  }
  return best;
}

Bytes WeightPlanner::row_buffer(const std::vector<bool>& set) const {
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (groups_[i].rows && !set[i]) return row_buffer_;
  }
  return {};
}

Bytes WeightPlanner::least(const std::vector<bool>& set) const {
  return whole(least_scratch(groups_, set, steps_) + row_buffer(set));
}

Bytes WeightPlanner::wanted(const std::vector<bool>& set) const {
  return whole(wanted_scratch(groups_, set, steps_) + row_buffer(set));
}

std::optional<Bytes> WeightPlanner::fit(Bytes room, const RunPace& pace) const {
  if (room >= streamable_) return streamable_;
  const std::vector<bool> none = choose({});
  if (room < least(none)) return std::nullopt;
  Bytes budget = std::max(Bytes{}, room - wanted(none));
  // Less is streamed then, so the scratch may shrink and leave room for more.
  for (int round = 0; round < 4; ++round) {
    const std::vector<bool> set = choose(budget, pace);
    const Bytes spare = room - resident(set) - wanted(set);
    if (spare <= Bytes{}) break;
    const Bytes more = resident(set) + spare;
    const std::vector<bool> larger = choose(more, pace);
    if (resident(larger) + wanted(larger) > room) break;
    budget = more;
  }
  return budget;
}

StreamSchedule WeightPlanner::schedule(const std::vector<bool>& set, Bytes room) const {
  return schedule_streams(groups_, set, steps_,
                          Bytes{room.count / unit_.count * unit_.count} - row_buffer(set));
}

std::string group_name(const Plan& plan, int32_t group) {
  std::string name;
  int more = -1;
  for (const Weight& weight : plan.weights) {
    if (weight.group != group) continue;
    if (++more == 0) name = weight.name;
  }
  return more > 0 ? fmt::format("'{}' and {} more", name, more) : fmt::format("'{}'", name);
}

}  // namespace headrace::runtime
