// WeightPlanner: a plan's weight groups, and every question that budgets and limits ask about them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <headrace/bytes.h>
#include "device/device.h"
#include "engine/plan.h"
#include "runtime/stream_forecast.h"
#include "runtime/weight_plan.h"

namespace headrace::runtime {

// Const after construction; safe to share between threads.
class WeightPlanner {
 public:
  // `unit`: what scratch is counted in.
  explicit WeightPlanner(const Plan& plan, RowAccess rows = RowAccess::kBuffered, Bytes unit = kReadAlignment,
                         Ahead ahead = Ahead::kOfTheNextToo);

  std::span<const GroupUse> groups() const { return groups_; }
  RowAccess row_access() const { return row_access_; }
  StepIndex steps() const { return steps_; }  // the delivery of outputs is the last
  Bytes streamable() const { return streamable_; }
  // Which groups stay, as by choose_resident(). What streams is spread by the steps' times where they are
  // measured. Where the link is too, it is spread another way if runs are forecast to gain 1 % or more by it.
  std::vector<bool> choose(Bytes budget, const RunPace& pace = {}) const;
  // Of runs with these groups resident, which have `room` together with the scratch.
  // REQUIRES: both of `pace` are measured; resident(set) + least(set) <= room.
  StreamForecast forecast(const std::vector<bool>& set, const RunPace& pace, Bytes room = {INT64_MAX}) const;
  Bytes resident(const std::vector<bool>& set) const { return resident_bytes(groups_, set); }

  // Where gathered rows pass through; needed once for all weights, and not at all where all such are
  // resident.
  Bytes row_buffer(const std::vector<bool>& set) const;
  // The least scratch that runs, and the scratch that runs well; the row buffer is part of both.
  Bytes least(const std::vector<bool>& set) const;
  Bytes wanted(const std::vector<bool>& set) const;
  // The least scratch that runs with budget 0.
  Bytes least() const { return least(choose({})); }

  // The largest weight budget whose resident groups and scratch fit into `room` together; nullopt where not
  // even least() fits.
  std::optional<Bytes> fit(Bytes room, const RunPace& pace = {}) const;
  // In the scratch that whole units of `room` leave beside the row buffer. REQUIRES: room >= least(set).
  StreamSchedule schedule(const std::vector<bool>& set, Bytes room) const;

 private:
  Bytes whole(Bytes scratch) const { return {(scratch.count + unit_.count - 1) / unit_.count * unit_.count}; }

  RowAccess row_access_;
  Bytes unit_;
  Ahead ahead_;
  std::vector<GroupUse> groups_;
  StepIndex steps_;
  Bytes streamable_;
  Bytes row_buffer_;
};

// Whether both are measured that a forecast needs.
inline bool is_measured(const RunPace& pace) { return !pace.step_ns.empty() && pace.link_rate > 0; }
// A hundredth of the run; less is no gain to move weights for.
inline bool is_worth_moving(int64_t before_ns, int64_t after_ns) {
  return after_ns < before_ns - before_ns / 100;
}

// The weights of a group for messages: "'a.weight'" or "'a.weight' and 3 more".
std::string group_name(const Plan& plan, int32_t group);

}  // namespace headrace::runtime
