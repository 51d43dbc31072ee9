// What a memory limit is made of, and the message where it is too small.
#pragma once

#include <span>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "runtime/engine.h"
#include "runtime/shape_plan.h"
#include "runtime/weight_planner.h"

namespace headrace::runtime {

// `arena` is what the device counts for a run with `shape`, copies of strided inputs included.
MemoryNeed memory_need_of(const Plan& plan, const WeightPlanner& planner, Bytes always_resident,
                          const ShapePlan& shape, Bytes arena, Bytes driver = {});
// What a limit is charged for a driver that was measured to take so much: in steps, and the next one ahead,
// so that a shape's first run seldom passes the limit.
Bytes driver_charge(Bytes measured);
// What allocations of these groups take beside their bytes, on a device that gives whole blocks.
Bytes lost_in_blocks(std::span<const GroupUse> groups, const std::vector<bool>& set, Bytes block);
// kExhausted: asked, needed, the parts, and what to do.
Status limit_too_small(const EngineFile& file, Bytes limit, const MemoryNeed& need, const DimBindings& dims);

Bytes whole_pages(Bytes size);

}  // namespace headrace::runtime
