// The running half of a back end. Knows plans and addresses; knows no IR, no files and no budgets.
//
// Kernels -> load(plan) -> Executable -> prepare(dims) -> Prepared -> enqueue(step, addresses, queue), which
// the runtime calls for one step after another, streaming weights between them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "core/dim.h"
#include "device/device.h"
#include "engine/plan.h"

namespace headrace {

// Rows of a kRows weight, by index, wherever they are: in memory, or still in the file.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // Writes row indices[i] to out + i * row_bytes, for all i. REQUIRES: every index is in range.
  // Errors: kUnavailable, naming the weight.
  virtual Status gather(std::span<const int64_t> indices, std::byte* out) = 0;
};

// Where things are, for one step.
struct Addresses {
  std::span<std::byte* const>
      buffers;  // by BufferIndex; nullptr where the step does not use it, and for kRows weights
  std::span<RowSource* const> rows;  // by weight index; nullptr but for kRows weights of this step
  std::byte* workspace = nullptr;    // of at least Prepared::workspace(step) bytes, 64-byte aligned
};

// One plan for one set of shapes: primitives made, sizes exact. Threads: enqueue is const in effect; calls
// with different addresses may overlap.
class Prepared {
 public:
  virtual ~Prepared() = default;
  virtual Bytes workspace(StepIndex step) const = 0;
  // Puts a step on `queue`; on the CPU it has run when this returns. Errors: kInvalidArgument for values that
  // only show now (an index out of range); others are bugs.
  virtual Status enqueue(StepIndex step, const Addresses& at, Queue& queue) const = 0;
};

// A plan that is checked and ready to be prepared. Borrows nothing. Threads: prepare may be called by
// several.
class Executable {
 public:
  virtual ~Executable() = default;
  // REQUIRES: `dims` binds every symbol of the plan; threads >= 1 (workers a step may use; the GPU ignores
  // it). Steps of which an output is empty are legal and do nothing.
  virtual Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int threads) = 0;
};

class Kernels {
 public:
  virtual ~Kernels() = default;
  // Errors: kIncompatible (fingerprint of another ISA or library), kCorrupt (an unknown kernel or a malformed
  // step).
  virtual Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) = 0;
};

}  // namespace headrace
