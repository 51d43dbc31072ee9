// What an attention's mask says, found without running it.
#pragma once

#include <optional>

#include "passes/rewrite.h"

namespace headrace::passes {

// A mask as attention takes it: its value (nullptr: none) and whether key j must be <= query i besides.
struct Mask {
  Value* value = nullptr;
  bool causal = false;
};

// Whether a bool mask of shape [.., S, T] is true exactly where j <= i.
bool is_causal(const Value* mask);

// The same mask in fewer words, the causal part split off: and(causal, rest), where(causal, 0, low),
// expand(mask), all true, all 0. `causal`: what the attention has already. nullopt where nothing changes.
std::optional<Mask> shorter_mask(Mask mask);

}  // namespace headrace::passes
