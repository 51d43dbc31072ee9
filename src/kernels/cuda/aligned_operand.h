// AlignedOperand: an operand of a library that takes only aligned addresses. A tensor that the caller owns
// may lie anywhere: it passes through a block of the workspace then.
#pragma once

#include <cuda.h>

#include "device/cuda/driver.h"
#include "kernels/step_form.h"

namespace headrace::cuda {

class AlignedOperand {
 public:
  // `workspace`: grown by the block, where one may be needed. `alignment`: of the operand, in bytes.
  AlignedOperand(const StepTensor& tensor, const Plan& plan, int64_t alignment, Bytes& workspace);

  const StepTensor& tensor() const { return tensor_; }
  // Where an input is read, once it is copied if need be.
  Result<std::byte*> load(const Driver& api, const Addresses& at, std::byte* workspace,
                          CUstream stream) const;
  // Where an output is written; store() brings it to its place.
  Result<std::byte*> target(const Addresses& at, std::byte* workspace) const;
  Status store(const Driver& api, const Addresses& at, std::byte* workspace, CUstream stream) const;

 private:
  Result<std::byte*> address(const Addresses& at) const;
  bool lies_well(const std::byte* address) const;

  StepTensor tensor_;
  int64_t alignment_;
  Bytes span_;     // from its first byte to its last
  bool whole_;     // the span is nothing but its elements
  bool may_move_;  // has a block
  Bytes block_;    // where in the workspace
};

// The first address of a workspace that libraries take; they must ask for kWorkspaceAlignment more.
std::byte* aligned_workspace(const Addresses& at);

}  // namespace headrace::cuda
