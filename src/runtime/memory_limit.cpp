#include "runtime/memory_limit.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/units.h"

namespace headrace::runtime {

Bytes whole_pages(Bytes size) {
  constexpr int64_t kPage = kReadAlignment.count;
  return {(size.count + kPage - 1) / kPage * kPage};
}

Bytes driver_charge(Bytes measured) {
  constexpr int64_t kStep = mib(16).count;
  if (measured <= Bytes{}) return {};
  return {(measured.count / kStep + 2) * kStep};
}

Bytes lost_in_blocks(std::span<const GroupUse> groups, const std::vector<bool>& set, Bytes block) {
  Bytes lost;
  for (size_t i = 0; block > Bytes{} && i < groups.size(); ++i) {
    const int64_t past = groups[i].size.count % block.count;
    if (set[i] && groups[i].size.count >= block.count / 2 && past > 0) lost += block - Bytes{past};
  }
  return lost;
}

MemoryNeed memory_need_of(const Plan& plan, const WeightPlanner& planner, Bytes always_resident,
                          const ShapePlan& shape, Bytes arena, Bytes driver) {
  MemoryNeed need;
  need.driver = driver;
  need.arena = whole_pages(arena);
  need.always_resident = always_resident;
  for (const Bytes state : shape.states) need.states += whole_pages(state);
  const std::vector<bool> none = planner.choose({});
  need.scratch = planner.least(none);  // whatever the budget: it may be lowered at any time
  const Bytes fixed = need.arena + need.always_resident + need.states + need.driver;
  need.least = fixed + need.scratch;
  need.most = fixed + std::max(planner.streamable(), need.scratch);
  const int32_t largest = largest_streamed(planner.groups(), none);
  if (largest != kNone) {
    Bytes size;
    for (const Weight& weight : plan.weights) {
      if (weight.group != largest || weight.stored <= size) continue;
      need.largest_streamed = weight.name;
      size = weight.stored;
    }
  }
  return need;
}

Status limit_too_small(const EngineFile& file, Bytes limit, const MemoryNeed& need, const DimBindings& dims) {
  std::string sizes;
  for (const auto& [name, value] : dims) {
    sizes += fmt::format("{}{} = {}", sizes.empty() ? " for " : ", ", name, value);
  }
  std::string parts = fmt::format("arena {}{}", to_text(need.arena), sizes);
  if (need.scratch > Bytes{}) {
    parts += fmt::format(", scratch {}", to_text(need.scratch));
    if (!need.largest_streamed.empty()) parts += fmt::format(" for '{}'", need.largest_streamed);
  }
  parts += fmt::format(", always resident {}", to_text(need.always_resident));
  if (need.states > Bytes{}) parts += fmt::format(", states {}", to_text(need.states));
  if (need.driver > Bytes{}) parts += fmt::format(", driver {}", to_text(need.driver));
  const int64_t enough_mib = (need.least.count + mib(1).count - 1) / mib(1).count;
  return exhausted(
      "{} does not fit a memory limit of {}: it needs at least {}\n  ({})\n  try a memory limit of {}MiB{}",
      file.path().filename().string(), to_text(limit), to_text(need.least), parts, enough_mib,
      dims.empty() ? "" : ", or smaller inputs");
}

}  // namespace headrace::runtime
