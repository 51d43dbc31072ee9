// Matrix products and convolutions: makers of the steps' kernels, and what they share.
#pragma once

#include "kernels/conv_form.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/staging.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/matmul_form.h"

namespace headrace::cpu {

Result<std::unique_ptr<StepKernel>> make_matmul(const StepShapes& step);
Result<std::unique_ptr<StepKernel>> make_conv_kernel(const StepShapes& step);
// By plain loops: any dtype, any strides, an inner size of 0.
Result<std::unique_ptr<StepKernel>> make_loop_matmul(const StepShapes& step);
Result<std::unique_ptr<StepKernel>> make_loop_conv(const StepShapes& step);

// The steps, checked; weights may be packed. Errors: kCorrupt.
Result<MatmulForm> matmul_form(const StepShapes& step);
Result<ConvForm> conv_form(const StepShapes& step);

// A tensor as a product sees it: where it lies in its buffer, or a block of the workspace that it passes
// through.
struct Operand {
  StepTensor tensor;
  std::optional<Stage> stage;  // through a block
  int64_t block = 0;           // where the block lies in the workspace

  // The operand's data, staged if need be. REQUIRES: an input.
  const std::byte* load(const Addresses& at) const {
    if (!stage) return tensor.at(at);
    stage->load(tensor.at(at), at.workspace + block);
    return at.workspace + block;
  }
  // Where to compute an output; finish with store().
  std::byte* target(const Addresses& at) const { return stage ? at.workspace + block : tensor.at(at); }
  void store(const Addresses& at) const {
    if (stage) stage->store(at.workspace + block, tensor.at(at));
  }
};
// Sends an operand through a dense row-major block of `dtype`.
void stage_operand(Operand& operand, DType dtype, int threads, WorkspacePlan& workspace);

// Finds `key` among the shared parts, or makes it.
template <class T, class Make>
Result<std::shared_ptr<const T>> shared_part(const StepShapes& step, const std::string& key,
                                             const Make& make) {
  if (step.shared) {
    if (std::shared_ptr<const T> found = step.shared->find<T>(key)) return found;
  }
  HR_ASSIGN(T made, make());
  auto part = std::make_shared<const T>(std::move(made));
  if (step.shared) step.shared->add(key, part);
  return std::shared_ptr<const T>(std::move(part));
}

}  // namespace headrace::cpu
