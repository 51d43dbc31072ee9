#include "runtime/weight_plan.h"

#include <algorithm>
#include <optional>

#include "device/device.h"

namespace headrace::runtime {
namespace {

constexpr int64_t kPage = kReadAlignment.count;
constexpr int64_t kHugePage = mib(2).count;

struct Life {  // of one group's bytes in the scratch
  int32_t group;
  StepIndex first, last;
};

std::vector<int64_t> bytes_by_step(std::span<const GroupUse> groups, const std::vector<bool>& resident,
                                   StepIndex steps) {
  std::vector<int64_t> need(static_cast<size_t>(steps), 0);
  for (size_t i = 0; i < groups.size(); ++i) {
    if (resident[i] || groups[i].rows) continue;
    for (const StepIndex step : groups[i].steps) need[static_cast<size_t>(step)] += groups[i].size.count;
  }
  return need;
}

// The lives of all streamed groups, by first step. With `hold`, a group stays for its next use where little
// is read in between; without, each use is read again.
std::vector<Life> stream_lives(std::span<const GroupUse> groups, const std::vector<bool>& resident,
                               const std::vector<int64_t>& need, bool hold) {
  std::vector<int64_t> until(need.size() + 1, 0);
  for (size_t s = 0; s < need.size(); ++s) until[s + 1] = until[s] + need[s];
  std::vector<Life> lives;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (resident[i] || groups[i].rows || groups[i].size.count == 0) continue;
    const size_t own = lives.size();
    for (const StepIndex step : groups[i].steps) {
      const bool follows =
          lives.size() > own && hold &&
          until[static_cast<size_t>(step)] - until[static_cast<size_t>(lives.back().last) + 1] <=
              kHoldOver.count;
      if (follows) {
        lives.back().last = step;
      } else {
        lives.push_back({static_cast<int32_t>(i), step, step});
      }
    }
  }
  std::stable_sort(lives.begin(), lives.end(),
                   [](const Life& a, const Life& b) { return a.first < b.first; });
  return lives;
}

// The scratch that holds each step's groups and the reads ahead of it.
int64_t scratch_wanted(std::span<const GroupUse> groups, const std::vector<Life>& lives, StepIndex steps) {
  std::vector<int64_t> alive(static_cast<size_t>(steps) + 1, 0);
  for (const Life& life : lives) {
    const int64_t size = groups[static_cast<size_t>(life.group)].size.count;
    alive[static_cast<size_t>(life.first)] += size;
    alive[static_cast<size_t>(life.last) + 1] -= size;
  }
  int64_t wanted = 0;
  int64_t now = 0;
  size_t next = 0;
  for (StepIndex step = 0; step < steps; ++step) {
    now += alive[static_cast<size_t>(step)];
    while (next < lives.size() && lives[next].first <= step) ++next;
    int64_t ahead = 0;
    for (size_t i = next; i < lives.size() && ahead < kReadAhead.count; ++i) {
      ahead += groups[static_cast<size_t>(lives[i].group)].size.count;
    }
    wanted = std::max(wanted, now + ahead);
  }
  if (wanted < kHugePage) return wanted;
  return (wanted + kHugePage - 1) / kHugePage * kHugePage;  // reads into huge pages are the fastest
}

// The scratch as a strip on which the latest load to use each part is marked.
class Strip {
 public:
  explicit Strip(int64_t size) : marks_{{0, size, kNone}} {}

  // The place of `size` bytes that is free the earliest, the first behind the last place taken where several
  // are; nothing where each is still in use at `step`.
  std::optional<std::pair<int64_t, StepIndex>> find(int64_t size, StepIndex step) const {
    std::optional<std::pair<int64_t, StepIndex>> best;
    bool best_behind = false;
    for (size_t i = 0; i < marks_.size(); ++i) {
      StepIndex busy = kNone;
      int64_t covered = 0;
      for (size_t j = i; j < marks_.size() && covered < size; ++j) {
        busy = std::max(busy, marks_[j].busy_until);
        covered += marks_[j].end - marks_[j].begin;
      }
      if (covered < size) break;
      if (busy >= step) continue;
      const bool behind = marks_[i].begin >= head_;
      if (!best || busy < best->second || (busy == best->second && behind && !best_behind)) {
        best = {marks_[i].begin, busy};
        best_behind = behind;
      }
    }
    return best;
  }

  void take(int64_t begin, int64_t size, StepIndex last) {
    const int64_t end = begin + size;
    std::vector<Mark> after;
    for (const Mark& mark : marks_) {
      if (mark.begin < begin) after.push_back({mark.begin, std::min(mark.end, begin), mark.busy_until});
      if (mark.begin <= begin && begin < mark.end) after.push_back({begin, end, last});
      if (mark.end > end) after.push_back({std::max(mark.begin, end), mark.end, mark.busy_until});
    }
    marks_ = std::move(after);
    head_ = end;
  }

 private:
  struct Mark {
    int64_t begin, end;
    StepIndex busy_until;
  };
  std::vector<Mark> marks_;  // by place; they cover the strip
  int64_t head_ = 0;
};

void find_again_after(std::span<const GroupUse> groups, std::vector<StreamLoad>& loads) {
  const auto end = [&](const StreamLoad& load) {
    return load.offset + groups[static_cast<size_t>(load.group)].size;
  };
  for (StreamLoad& first : loads) {
    if (first.issue_after != kNone) continue;
    for (const StreamLoad& load : loads) {
      const bool overlaps = load.offset < end(first) && first.offset < end(load);
      if (overlaps) first.again_after = std::max(first.again_after, load.last_step);
    }
  }
}

// Places the loads of each step side by side; nothing where one does not fit.
std::optional<StreamSchedule> place(std::span<const GroupUse> groups, const std::vector<Life>& lives,
                                    StepIndex steps, int64_t scratch) {
  StreamSchedule schedule;
  schedule.scratch = {scratch};
  schedule.step_loads.assign(static_cast<size_t>(steps) + 1, 0);
  Strip strip(scratch);
  for (size_t begin = 0; begin < lives.size();) {
    size_t end = begin;
    int64_t size = 0;
    for (; end < lives.size() && lives[end].first == lives[begin].first; ++end) {
      size += groups[static_cast<size_t>(lives[end].group)].size.count;
    }
    const auto found = strip.find(size, lives[begin].first);
    if (!found) return std::nullopt;
    int64_t at = found->first;
    for (size_t i = begin; i < end; ++i) {
      const Bytes bytes = groups[static_cast<size_t>(lives[i].group)].size;
      schedule.loads.push_back({lives[i].group, {at}, found->second, lives[i].first, lives[i].last, 0});
      strip.take(at, bytes.count, lives[i].last);
      schedule.streamed += bytes;
      at += bytes.count;
    }
    schedule.step_loads[static_cast<size_t>(lives[begin].first) + 1] = static_cast<int32_t>(end - begin);
    begin = end;
  }
  for (size_t s = 1; s < schedule.step_loads.size(); ++s)
    schedule.step_loads[s] += schedule.step_loads[s - 1];
  find_again_after(groups, schedule.loads);
  return schedule;
}

}  // namespace

std::vector<GroupUse> group_uses(const Plan& plan, RowAccess rows) {
  std::vector<GroupUse> groups(plan.groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    groups[i].size = {(plan.groups[i].size.count + kPage - 1) / kPage * kPage};
    groups[i].streamable = plan.groups[i].streamable;
  }
  for (const Weight& weight : plan.weights) {
    if (weight.group != kNone && weight.use == WeightUse::kRows && rows != RowAccess::kWhole) {
      groups[static_cast<size_t>(weight.group)].rows = true;
    }
  }
  const auto by_step = groups_by_step(plan, rows == RowAccess::kWhole);
  for (size_t step = 0; step < by_step.size(); ++step) {
    for (const int32_t group : by_step[step]) {
      groups[static_cast<size_t>(group)].steps.push_back(static_cast<StepIndex>(step));
    }
  }
  const auto end = static_cast<StepIndex>(plan.steps.size());
  for (const OutputSpec& output : plan.outputs) {
    if (output.kind != OutputKind::kTensor) continue;
    const Buffer& buffer =
        plan.buffers[static_cast<size_t>(plan.tensors[static_cast<size_t>(output.tensor)].buffer)];
    if (buffer.kind != BufferKind::kWeight) continue;
    auto& steps = groups[static_cast<size_t>(plan.weights[static_cast<size_t>(buffer.index)].group)].steps;
    if (steps.empty() || steps.back() != end) steps.push_back(end);
  }
  return groups;
}

Bytes least_scratch(std::span<const GroupUse> groups, const std::vector<bool>& resident, StepIndex steps) {
  const std::vector<int64_t> need = bytes_by_step(groups, resident, steps);
  return {need.empty() ? 0 : *std::max_element(need.begin(), need.end())};
}

Bytes wanted_scratch(std::span<const GroupUse> groups, const std::vector<bool>& resident, StepIndex steps) {
  const std::vector<int64_t> need = bytes_by_step(groups, resident, steps);
  return {scratch_wanted(groups, stream_lives(groups, resident, need, true), steps)};
}

int32_t largest_streamed(std::span<const GroupUse> groups, const std::vector<bool>& resident) {
  int32_t largest = kNone;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (resident[i] || groups[i].rows || groups[i].steps.empty()) continue;
    if (largest == kNone || groups[i].size > groups[static_cast<size_t>(largest)].size) {
      largest = static_cast<int32_t>(i);
    }
  }
  return largest;
}

StreamSchedule schedule_streams(std::span<const GroupUse> groups, const std::vector<bool>& resident,
                                StepIndex steps, Bytes limit) {
  const std::vector<int64_t> need = bytes_by_step(groups, resident, steps);
  // What is read again for each use can want more than what is held; budgets count on wanted_scratch.
  const int64_t most = std::min(wanted_scratch(groups, resident, steps).count, limit.count / kPage * kPage);
  for (const bool hold : {true, false}) {
    const std::vector<Life> lives = stream_lives(groups, resident, need, hold);
    const int64_t scratch = std::min(scratch_wanted(groups, lives, steps), most);
    if (auto schedule = place(groups, lives, steps, scratch)) return *std::move(schedule);
  }
  return {};  // not reached: without holding, a step's loads fit wherever least_scratch does
}

}  // namespace headrace::runtime
