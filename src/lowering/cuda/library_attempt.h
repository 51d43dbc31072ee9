// A step of a library's before it is written: what library_support.h is asked with.
#pragma once

#include <optional>
#include <vector>

#include "engine/plan.h"

namespace headrace::cuda {

// `like`, row-major.
inline PlanTensor dense(const PlanTensor& like) {
  return {like.dtype, like.shape, row_major_strides(std::span<const Dim>(like.shape)), 0, like.buffer};
}

struct Attempt {
  AttributeMap attributes;
  std::vector<std::optional<PlanTensor>> inputs;
  PlanTensor output;

  std::vector<const PlanTensor*> pointers() const {
    std::vector<const PlanTensor*> list;
    for (const auto& input : inputs) list.push_back(input ? &*input : nullptr);
    return list;
  }
};

}  // namespace headrace::cuda
