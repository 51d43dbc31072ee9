#include "runtime/stream_forecast.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace headrace::runtime {
namespace {

// Runs that lend to each other are not all alike, and the first one has nothing to borrow: the mean of some.
constexpr int64_t kRuns = 8;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

int64_t sum(int64_t a, int64_t b) {  // of what is not negative; no farther than kNever
  int64_t c = 0;
  return __builtin_add_overflow(a, b, &c) ? kNever : c;
}

int64_t copy_ns(Bytes size, int64_t rate) {
  __extension__ typedef __int128 Wide;
  const Wide ns = (static_cast<Wide>(size.count) * 1'000'000'000 + rate - 1) / rate;
  return ns < kNever ? static_cast<int64_t>(ns) : kNever;
}

}  // namespace

StreamForecast forecast_run(const StreamSchedule& schedule, std::span<const GroupUse> groups,
                            const RunPace& pace, Ahead ahead) {
  const size_t steps = pace.step_ns.size();
  const int64_t runs = ahead == Ahead::kOfTheNextToo ? kRuns : 1;
  std::vector<int64_t> load_ns;
  for (const StreamLoad& load : schedule.loads) {
    load_ns.push_back(copy_ns(groups[static_cast<size_t>(load.group)].size, pace.link_rate));
  }
  std::vector<int64_t> over(steps, 0), over_before(steps, 0);  // each step, in this run and the one before
  int64_t now = 0, link_free = 0;
  for (int64_t run = 0; run < runs; ++run) {
    std::swap(over, over_before);
    const int64_t begin = now;
    bool lent = run > 0;  // the first loads may follow those of the run before
    for (size_t step = 0; step < steps; ++step) {
      const auto end = static_cast<size_t>(schedule.step_loads[step + 1]);
      for (auto i = static_cast<size_t>(schedule.step_loads[step]); i < end; ++i) {
        const StreamLoad& load = schedule.loads[i];
        lent &= load.issue_after == kNone;
        const int64_t place_free = lent ? over_before[static_cast<size_t>(load.again_after)]
                                   : load.issue_after == kNone ? begin
                                                               : over[static_cast<size_t>(load.issue_after)];
        link_free = sum(std::max(link_free, place_free), load_ns[i]);
        now = std::max(now, link_free);
      }
      now = sum(now, pace.step_ns[step]);
      over[step] = now;
    }
  }
  const int64_t steps_ns = std::accumulate(pace.step_ns.begin(), pace.step_ns.end(), int64_t{0}, sum);
  return {now / runs, now / runs - steps_ns};
}

}  // namespace headrace::runtime
