// GeneratedWalk: the dimensions that a kernel's threads walk, and the strides of each operand along them.
#pragma once

#include <vector>

#include "core/shape.h"

namespace headrace::cuda {

struct GeneratedWalk {
  Sizes sizes;
  std::vector<Sizes> strides;  // by operand

  size_t rank() const { return sizes.size(); }
  // Keeps these dimensions, in this order.
  void keep(const std::vector<size_t>& order);
  // Dimensions in the order of an operand's memory, the slowest first; those of one element go.
  void sort_by(size_t operand);
  // Joins dimensions of [begin, end) where all operands allow it, and drops those of one element. Returns how
  // many are left of them.
  size_t join(size_t begin, size_t end);

 private:
  bool joins(size_t d) const;  // with the next dimension, for every operand
};

}  // namespace headrace::cuda
