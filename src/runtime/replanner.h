// Replanner: whether what runs have shown calls for other weights in memory than those that are there.
//
// It forecasts once for each change of the pace (see follow()). Once weights have moved for a second change,
// the next one waits for a look more, then for two, four, and so on: where unlike runs take turns, weights do
// not go to and fro with them.
//
// Threads: none of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <headrace/bytes.h>
#include "runtime/run_pace.h"
#include "runtime/weight_planner.h"

namespace headrace::runtime {

// What the choice is made for, by the pace of the Replanner.
struct Residents {
  std::vector<bool> now;
  Bytes budget;
  Bytes room;  // for resident groups and scratch together; INT64_MAX: no limit
  bool operator==(const Residents&) const = default;
};

class Replanner {
 public:
  struct Better {
    std::vector<bool> set;
    int64_t run_ns = 0;  // of runs as they are now
  };

  void follow(const RunPace& measured) { is_new_ |= runtime::follow(pace_, measured); }
  const RunPace& pace() const { return pace_; }

  // The planner's choice where it gains a hundredth of a run. The same again until moved() or another pace,
  // without forecasts.
  const Better* look(const WeightPlanner& planner, const Residents& residents);
  // The groups were moved for the latest look, or could not be.
  void moved();
  // A budget was set: what is resident is chosen by pace().
  void planned();

 private:
  const Better* compare(const WeightPlanner& planner, const Residents& residents);

  RunPace pace_;
  bool is_new_ = false;  // the pace, to the forecasts
  std::optional<Better> better_;
  Residents compared_;  // where there is a better one
  int64_t looks_to_pass_ = 0, patience_ = 0;
};

}  // namespace headrace::runtime
