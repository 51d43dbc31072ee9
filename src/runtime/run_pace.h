// RunPace: what runs have shown of a plan's times, for plans of what stays in memory.
#pragma once

#include <cstdint>
#include <vector>

namespace headrace::runtime {

struct RunPace {
  std::vector<int64_t> step_ns;  // by step of the planner's; empty: not measured yet
  int64_t link_rate = 0;         // bytes a second, of streamed weights; 0: not measured yet
};

// Takes over what differs enough to plan anew (see differ()): how the time is shared among the steps, how
// long they take together, the link's rate. Less is noise, for which no weight is to move. Whether anything
// did.
bool follow(RunPace& pace, const RunPace& measured);

}  // namespace headrace::runtime
