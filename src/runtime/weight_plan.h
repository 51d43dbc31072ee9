// The weight plan: which weight groups stay in memory, and when the others are read, and to where.
//
// Pure functions of sizes, uses and a budget, in integers: equal input gives equal output on every machine,
// and the parts add up exactly. The schedule is solved ahead of the run, so that a back end on another device
// can put the same copies on a second branch of a captured graph.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <headrace/bytes.h>
#include "engine/plan.h"

namespace headrace::runtime {

// A weight group as the planner sees it.
struct GroupUse {
  Bytes size;                    // whole pages
  bool streamable = true;        // false: always in memory, and outside the budget
  bool rows = false;             // its rows are gathered; it needs no place in the scratch
  std::vector<StepIndex> steps;  // that read it, ascending, without repeats
};

// How the rows of weights that are gathered by index get to where they are used.
enum class RowAccess : uint8_t {
  kBuffered,  // read from the file, through a buffer
  kInPlace,   // the device reads them where the file lies
  kWhole,     // not by rows: such weights stream as others do
};

// One GroupUse for each group of the plan, sizes in whole pages. Outputs that lie in a weight are read by a
// step of their own, after the last: step plan.steps.size().
std::vector<GroupUse> group_uses(const Plan& plan, RowAccess rows = RowAccess::kBuffered);

Bytes streamable_bytes(std::span<const GroupUse> groups);

// How what streams is spread over the run.
struct Spread {
  std::span<const int64_t> step_ns = {};  // measured, to go by; empty: by the bytes that the steps read
  // A group streams where its last byte is due by then. With `early`, where so many kSpreadParts of it are
  // not due yet: others of a model's layers stream then.
  int early = 0;
  bool by_reads = true;  // groups that steps read more often stay first; false: all are alike
};
inline constexpr int kSpreadParts = 4;

// Which groups stay, by group; `true` for those that are not streamable. Resident streamable bytes are at
// most `budget`. Whole groups come before gathered ones. What is left over goes to the groups that still fit.
std::vector<bool> choose_resident(std::span<const GroupUse> groups, Bytes budget, const Spread& spread = {});
Bytes resident_bytes(std::span<const GroupUse> groups, const std::vector<bool>& resident);

// One read of one group in a run.
struct StreamLoad {
  int32_t group = kNone;
  Bytes offset;                   // in the scratch; a multiple of kReadAlignment
  StepIndex issue_after = kNone;  // its place is free once this step is over; kNone: from the start
  StepIndex first_step = 0;       // the read must be complete before this step
  StepIndex last_step = 0;        // the place is free again after this step
  // Where issue_after is kNone: nothing in this run uses the place after this step, so that it may take the
  // same bytes for the next run.
  StepIndex again_after = 0;

  bool operator==(const StreamLoad&) const = default;
};

// What a run may read: its own weights, or from the second run on the first ones of the next run too.
enum class Ahead : uint8_t { kOfThisRun, kOfTheNextToo };

struct StreamSchedule {
  std::vector<StreamLoad> loads;    // by first_step; issued in this order
  std::vector<int32_t> step_loads;  // loads of step s: [step_loads[s], step_loads[s + 1])
  Bytes scratch;
  Bytes streamed;  // read in a run

  bool operator==(const StreamSchedule&) const = default;
};

// The least scratch that can run with these groups resident: the most that one step reads.
Bytes least_scratch(std::span<const GroupUse> groups, const std::vector<bool>& resident, StepIndex steps);
// The scratch that keeps reads ahead of use.
Bytes wanted_scratch(std::span<const GroupUse> groups, const std::vector<bool>& resident, StepIndex steps);
// The group that decides least_scratch; kNone where nothing streams.
int32_t largest_streamed(std::span<const GroupUse> groups, const std::vector<bool>& resident);

// Solves the schedule in wanted_scratch, but no more than `limit`.
// REQUIRES: limit >= least_scratch(...).
StreamSchedule schedule_streams(std::span<const GroupUse> groups, const std::vector<bool>& resident,
                                StepIndex steps, Bytes limit = {INT64_MAX});

inline constexpr Bytes kReadAhead = mib(16);  // beyond the step that runs
inline constexpr Bytes kHoldOver = mib(8);    // a group stays for its next use if less is read in between

}  // namespace headrace::runtime
