// The forecast of runs that stream: when copies end and steps begin, on paper, by measured times.
//
// One link brings the loads in their order, each once its place is free; a step begins once the one before it
// is over and its loads are there. A pure function in integers, as the weight plan is.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/run_pace.h"
#include "runtime/weight_plan.h"

namespace headrace::runtime {

struct StreamForecast {
  int64_t run_ns = 0;
  int64_t wait_ns = 0;  // of it, for weights
};

// Of one run out of several in a row. Never less than the steps take, nor than the link takes for the
// streamed bytes; never more over a faster link.
// REQUIRES: the schedule is of `groups`, and `pace` is measured, with one time for each step.
StreamForecast forecast_run(const StreamSchedule& schedule, std::span<const GroupUse> groups,
                            const RunPace& pace, Ahead ahead);

}  // namespace headrace::runtime
