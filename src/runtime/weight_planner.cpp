#include "runtime/weight_planner.h"

#include <algorithm>

#include <fmt/core.h>

#include "device/device.h"
#include "runtime/row_source.h"

namespace headrace::runtime {

WeightPlanner::WeightPlanner(const Plan& plan, RowAccess rows, Bytes unit)
    : row_access_(rows),
      unit_(unit),
      groups_(group_uses(plan, rows)),
      steps_(static_cast<StepIndex>(plan.steps.size()) + 1),
      streamable_(streamable_bytes(groups_)) {
  if (rows != RowAccess::kBuffered) return;
  for (const Weight& weight : plan.weights) {
    if (weight.use == WeightUse::kRows) row_buffer_ = std::max(row_buffer_, row_buffer_size(weight));
  }
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

std::optional<Bytes> WeightPlanner::fit(Bytes room, std::span<const int64_t> step_ns) const {
  if (room >= streamable_) return streamable_;
  const std::vector<bool> none = choose({});
  if (room < least(none)) return std::nullopt;
  Bytes budget = std::max(Bytes{}, room - wanted(none));
  // Less is streamed then, so the scratch may shrink and leave room for more.
  for (int round = 0; round < 4; ++round) {
    const std::vector<bool> set = choose(budget, step_ns);
    const Bytes spare = room - resident(set) - wanted(set);
    if (spare <= Bytes{}) break;
    const Bytes more = resident(set) + spare;
    const std::vector<bool> larger = choose(more, step_ns);
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
