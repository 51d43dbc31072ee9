// The arena: one piece of memory for all that lives only during a run, laid out for one set of shapes.
#pragma once

#include <span>
#include <vector>

#include <headrace/bytes.h>
#include "engine/plan.h"

namespace headrace::runtime {

inline constexpr Bytes kArenaAlignment = {64};

struct ArenaItem {
  Bytes size;
  StepIndex first = 0;  // alive from this step to `last`, both included
  StepIndex last = 0;
};

struct ArenaLayout {
  std::vector<Bytes> offsets;  // by item; multiples of kArenaAlignment
  Bytes size;
};

// Items that are alive at one step never overlap. The largest are placed first, each at the lowest offset
// that is free for its life; equal input gives equal output.
ArenaLayout lay_out_arena(std::span<const ArenaItem> items);

}  // namespace headrace::runtime
