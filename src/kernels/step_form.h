// StepForm: a step of a plan whose shapes are known. What the kernels of every back end are made from.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <headrace/status.h>
#include "core/dim.h"
#include "core/shape.h"
#include "engine/plan.h"
#include "kernels/kernels.h"

namespace headrace {

// A plan tensor with its sizes known: a strided window of a buffer.
struct StepTensor {
  DType dtype = DType::kF32;
  Sizes shape;
  Sizes strides;       // in elements; 0 where broadcast
  int64_t offset = 0;  // in elements
  BufferIndex buffer = kNone;
  int32_t weight = kNone;  // index into Plan::weights where the buffer is a weight
  bool row_major() const;
  int64_t elements() const;
  std::byte* at(const Addresses& addresses) const;  // nullptr for kRows weights
};

struct StepForm {
  const Plan* plan = nullptr;  // outlives the kernel
  const Step* step = nullptr;
  std::vector<std::optional<StepTensor>> inputs;  // nullopt: absent
  std::vector<StepTensor> outputs;
  DimBindings dims;  // for attributes that are Dims

  bool empty() const;  // every output is
};

// Fills inputs and outputs with the tensors of `step`. REQUIRES: plan and dims are set; `step` is of the
// plan, which is verified. Errors: kCorrupt where a tensor leaves its buffer; kInvalidArgument for dims.
Status evaluate_tensors(const Step& step, StepForm& form);

}  // namespace headrace
