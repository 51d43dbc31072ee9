#include "kernels/cpu/products.h"

#include "kernels/cpu/packing.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

namespace {

constexpr KernelRow kRows[] = {{"matmul", make_matmul}, {"conv", make_conv_kernel}};

// The pack step of the step's weight, its second input; nullptr where that is plain.
Result<const RecipeStep*> find_packed(const StepShapes& step, std::string_view layout) {
  if (step.inputs.size() < 2 || !step.inputs[1]) return static_cast<const RecipeStep*>(nullptr);
  const StepTensor& weight = *step.inputs[1];
  if (weight.weight < 0 || weight.dtype != DType::kU8 || weight.shape.size() != 1)
    return static_cast<const RecipeStep*>(nullptr);
  return packed_weight(step, weight, layout);
}

Status check_epilogue(const StepShapes& step, const std::optional<Pointwise>& epilogue, DType dtype) {
  if (!epilogue) return {};
  const auto lane = static_cast<size_t>(lane_of(dtype));
  if (tile_functions().function[static_cast<size_t>(*epilogue)][lane]) return {};
  return malformed(step, "'{}' is no function of one {}", info(*epilogue).name, dtype_name(dtype));
}

}  // namespace

std::span<const KernelRow> product_kernels() { return kRows; }

Result<MatmulForm> matmul_form(const StepShapes& step) {
  HR_ASSIGN(const RecipeStep* packed, find_packed(step, "matmul"));
  HR_ASSIGN(MatmulForm form, MatmulForm::make(step, packed));
  if (form.out.dtype != form.dtype)
    return malformed(step, "its operands are {} and its result is {}", dtype_name(form.dtype),
                     dtype_name(form.out.dtype));
  HR_TRY(check_epilogue(step, form.epilogue, form.dtype));
  return form;
}

Result<ConvForm> conv_form(const StepShapes& step) {
  HR_ASSIGN(const RecipeStep* packed, find_packed(step, "conv"));
  HR_ASSIGN(ConvForm form, ConvForm::make(step, packed));
  HR_TRY(check_epilogue(step, form.epilogue, form.dtype));
  return form;
}

void stage_operand(Operand& operand, DType dtype, int threads, WorkspacePlan& workspace) {
  const StepTensor& tensor = operand.tensor;
  operand.stage = Stage(tensor.dtype, tensor.shape, tensor.strides, dtype, threads);
  operand.block = workspace.add(operand.stage->size());
}

}  // namespace headrace::cpu
