// What values a size can take, from its symbols' ranges.
#pragma once

#include <vector>

#include "core/dim.h"

namespace headrace::frontend {

// Both ends included; the infinities where nothing is known.
struct DimRange {
  double low, high;
};
DimRange range_of(const Dim& dim, const std::vector<Symbol>& symbols);

// a <= b for every binding that the ranges allow. False where that is not known.
bool always_at_most(const Dim& a, const Dim& b, const std::vector<Symbol>& symbols);

}  // namespace headrace::frontend
