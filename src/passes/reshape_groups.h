// What a reshape does to dims: runs of neighbouring ones become runs of neighbouring ones.
#pragma once

#include <cstddef>
#include <vector>

#include "core/shape.h"

namespace headrace::passes {

// So many dims from `from_begin` on hold the elements that so many from `to_begin` on hold then.
struct ReshapeGroup {
  size_t from_begin, from_count, to_begin, to_count;
};

// The reshape of `from` to `to` in its smallest groups, which cover both; empty where there are none, or none
// is known.
std::vector<ReshapeGroup> reshape_groups(const Shape& from, const Shape& to);

}  // namespace headrace::passes
