// What a generated kernel is launched with, for one set of shapes. Knows no driver.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <headrace/status.h>
#include "core/attributes.h"
#include "core/shape.h"
#include "kernels/cuda/generated_args.h"

namespace headrace::cuda {

struct GeneratedOperand {
  DType dtype = DType::kF32;
  Sizes shape;
  Sizes strides;  // in elements
};

struct GeneratedLaunch {
  std::array<unsigned, 3> grid = {1, 1, 1};
  std::array<unsigned, 3> block = {1, 1, 1};
  unsigned shared = 0;  // bytes of a block's dynamic shared memory
  GeneratedHead head = {};
  std::vector<GeneratedTensor> tensors;  // without addresses
};

struct GeneratedLaunches {
  GeneratedLaunch scalar;
  // Where vectors can be walked if every address is a multiple of `alignment` of its operand.
  std::optional<GeneratedLaunch> vector;
  std::vector<size_t> alignment;
};

// `operands`: the step's inputs, then its outputs; nullopt where absent. `label` names the step in errors.
// Errors: kCorrupt (the attributes do not describe a launch), kUnsupported (sizes beyond the index type),
// kInvalidArgument (the maximum of nothing).
Result<GeneratedLaunches> plan_launches(const AttributeMap& attributes, const std::string& label,
                                        std::span<const std::optional<GeneratedOperand>> operands,
                                        size_t outputs, const DimBindings& dims, int multiprocessors);

}  // namespace headrace::cuda
