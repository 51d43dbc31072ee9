#include "runtime/run_pace.h"

#include <numeric>

#include "runtime/link_rate.h"
#include "runtime/step_times.h"

namespace headrace::runtime {
namespace {

int64_t total(const std::vector<int64_t>& step_ns) {
  return std::accumulate(step_ns.begin(), step_ns.end(), int64_t{0});
}

}  // namespace

bool follow(RunPace& pace, const RunPace& measured) {
  bool changed = false;
  const int64_t before = total(pace.step_ns), now = total(measured.step_ns);
  if (differ(measured.step_ns, pace.step_ns)) {
    pace.step_ns = measured.step_ns;
    changed = true;
  } else if (differ(now, before)) {
    __extension__ typedef __int128 Wide;
    for (int64_t& ns : pace.step_ns) ns = static_cast<int64_t>(Wide{ns} * now / before);  // as shared before
    changed = true;
  }
  if (measured.link_rate > 0 && differ(measured.link_rate, pace.link_rate)) {
    pace.link_rate = measured.link_rate;
    changed = true;
  }
  return changed;
}

}  // namespace headrace::runtime
