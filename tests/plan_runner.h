// PlanRunner: runs a plan without the runtime, to test lowerings and kernels by themselves.
//
// Every buffer is a block of its own, exactly as large as the plan says and followed by guard bytes that are
// checked after each step. Memory of the arena is poisoned (all ones: NaN in every float) before its first
// step and after its last, and a step that touches a buffer outside of its lifetime is an error.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/queued_device.h"
#include "engine/plan.h"
#include "kernels/kernels.h"
#include "weights/weights.h"

namespace headrace::test {

class PlanRunner {
 public:
  // Evaluates all recipes. `packer` may be nullptr. `device`: whose memory the kernels work in, which is then
  // borrowed; nullptr: the host's. Borrows nothing else after that.
  static Result<PlanRunner> create(Plan plan, Kernels& kernels, const Packer* packer,
                                   const Evaluator& evaluator, const WeightSourceReader& reader,
                                   QueuedDevice* device = nullptr);

  // One entry an input of the plan, row-major; a number is an i64 of rank 0; constants are not looked at.
  // One entry an output: a number is an i64 of rank 0, None is empty bytes.
  Result<std::vector<HostTensor>> run(std::span<const HostTensor> inputs, int threads = 1);

  const Plan& plan() const { return *plan_; }

 private:
  std::shared_ptr<const Plan> plan_;
  QueuedDevice* device_ = nullptr;
  std::shared_ptr<Executable> executable_;
  std::vector<std::vector<std::byte>> weights_;
};

// The value of each symbol that is a size of an input by itself, or a number.
Result<DimBindings> bind_symbols(const Plan& plan, std::span<const HostTensor> inputs);

}  // namespace headrace::test
