#include "kernels/cpu/products.h"

#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

Result<std::optional<Pointwise>> step_epilogue(const StepShapes& step) {
  const std::string name = step.step->attributes.text("epilogue");
  if (name.empty()) return std::optional<Pointwise>();
  const PointwiseInfo* found = find_pointwise(name);
  const auto lane = static_cast<size_t>(lane_of(step.outputs[0].dtype));
  const bool fits = found && found->operands == 1 && !found->to_bool && found->function != Pointwise::kCast &&
                    tile_functions().function[static_cast<size_t>(found->function)][lane] != nullptr;
  if (!fits) return malformed(step, "'{}' is no function of one {}", name, dtype_name(step.outputs[0].dtype));
  return std::optional<Pointwise>(found->function);
}

void stage_operand(Operand& operand, DType dtype, int threads, WorkspacePlan& workspace) {
  const StepTensor& tensor = operand.tensor;
  operand.stage = Stage(tensor.dtype, tensor.shape, tensor.strides, dtype, threads);
  operand.block = workspace.add(operand.stage->size());
}

namespace {
constexpr KernelRow kRows[] = {{"matmul", make_matmul}, {"conv", make_conv_kernel}};
}

std::span<const KernelRow> product_kernels() { return kRows; }

}  // namespace headrace::cpu
