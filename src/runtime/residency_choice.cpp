#include <algorithm>
#include <numeric>

#include "runtime/weight_plan.h"

namespace headrace::runtime {
namespace {

__extension__ typedef __int128 Wide;  // bytes times nanoseconds

// How far the run has come when a step begins and ends, in measured time or in bytes read.
class Clock {
 public:
  Clock(std::span<const GroupUse> groups, std::span<const int64_t> step_ns) {
    size_t steps = std::max<size_t>(1, step_ns.size());
    for (const GroupUse& group : groups) {
      for (const StepIndex step : group.steps) steps = std::max(steps, static_cast<size_t>(step) + 1);
    }
    std::vector<int64_t> length(steps, 0);
    if (step_ns.size() == steps && std::accumulate(step_ns.begin(), step_ns.end(), int64_t{0}) > 0) {
      length.assign(step_ns.begin(), step_ns.end());
    } else {
      for (const GroupUse& group : groups) {
        if (group.rows || group.steps.empty()) continue;
        length[static_cast<size_t>(group.steps[0])] += group.size.count;
      }
    }
    until_.resize(steps + 1, 0);
    std::partial_sum(length.begin(), length.end(), until_.begin() + 1);
  }
  int64_t after(StepIndex step) const { return until_[static_cast<size_t>(step) + 1]; }
  int64_t total() const { return until_.back(); }

 private:
  std::vector<int64_t> until_;
};

// Gives `left` to the groups of one tier, which all cost the same number of reads a run.
void share_out(std::span<const GroupUse> groups, const std::vector<size_t>& tier, const Clock& clock,
               int early, Bytes& left, std::vector<bool>& resident) {
  int64_t total = 0;
  for (const size_t index : tier) total += groups[index].size.count;
  const int64_t to_stream = std::max<int64_t>(0, total - left.count);
  auto keep = [&](size_t index) {
    resident[index] = true;
    left -= groups[index].size;
  };
  // Streams a group where the run has come far enough for it, so that reads never pile up before a step.
  int64_t streamed = 0;
  for (const size_t index : tier) {
    const GroupUse& group = groups[index];
    const int64_t then = streamed + group.size.count;
    const Wide counted = Wide{kSpreadParts} * then - Wide{early} * group.size.count;
    const bool due = counted * clock.total() <=
                     Wide{kSpreadParts} * to_stream * clock.after(group.steps.empty() ? 0 : group.steps[0]);
    if (due || group.size > left) {
      streamed = then;
    } else {
      keep(index);
    }
  }
  std::vector<size_t> rest;
  for (const size_t index : tier) {
    if (!resident[index]) rest.push_back(index);
  }
  std::stable_sort(rest.begin(), rest.end(),
                   [&](size_t a, size_t b) { return groups[a].size > groups[b].size; });
  for (const size_t index : rest) {
    if (groups[index].size <= left) keep(index);
  }
}

}  // namespace

Bytes streamable_bytes(std::span<const GroupUse> groups) {
  Bytes sum;
  for (const GroupUse& group : groups) sum += group.streamable ? group.size : Bytes{};
  return sum;
}

Bytes resident_bytes(std::span<const GroupUse> groups, const std::vector<bool>& resident) {
  Bytes sum;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].streamable && resident[i]) sum += groups[i].size;
  }
  return sum;
}

std::vector<bool> choose_resident(std::span<const GroupUse> groups, Bytes budget, const Spread& spread) {
  std::vector<bool> resident(groups.size());
  std::vector<size_t> order;
  for (size_t i = 0; i < groups.size(); ++i) {
    resident[i] = !groups[i].streamable;
    if (groups[i].streamable) order.push_back(i);
  }
  const auto rank = [&](size_t index) {  // gathered groups last, whatever their uses: rows cost little
    const size_t reads = groups[index].steps.size();
    return groups[index].rows ? size_t{0} : 1 + (spread.by_reads ? reads : std::min<size_t>(reads, 1));
  };
  const auto begins = [&](size_t index) { return groups[index].steps.empty() ? 0 : groups[index].steps[0]; };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return rank(a) != rank(b) ? rank(a) > rank(b) : begins(a) < begins(b);
  });
  const Clock clock(groups, spread.step_ns);
  Bytes left = budget;
  for (size_t begin = 0; begin < order.size();) {
    std::vector<size_t> tier;
    size_t end = begin;
    while (end < order.size() && rank(order[end]) == rank(order[begin])) tier.push_back(order[end++]);
    share_out(groups, tier, clock, spread.early, left, resident);
    begin = end;
  }
  return resident;
}

}  // namespace headrace::runtime
