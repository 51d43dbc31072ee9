#include "kernels/matmul_form.h"

#include "kernels/step_checks.h"

namespace headrace {

namespace {

// The operand with its leading dims broadcast to `batch`.
Result<StepTensor> broadcast_batch(const StepForm& step, StepTensor tensor, const Sizes& batch) {
  Sizes shape = batch;
  shape.insert(shape.end(), tensor.shape.end() - 2, tensor.shape.end());
  HR_ASSIGN(tensor.strides, broadcast_strides(step, tensor, shape));
  tensor.shape = std::move(shape);
  return tensor;
}

// Sets k, n and b. `b_at` is the step's second input.
Status read_b(const StepForm& step, const StepTensor& b_at, MatmulForm& form) {
  form.b = b_at;
  if (form.packed) {
    const Sizes& shape = form.packed->shape;
    if (shape.size() != 2 || form.packed->dtype != form.dtype)
      return malformed(step, "its weight is {} of sizes {}", dtype_name(form.packed->dtype), to_text(shape));
    const bool transposed = form.packed->attributes.flag("transposed");
    form.k = shape[transposed ? 1 : 0];
    form.n = shape[transposed ? 0 : 1];
    return {};
  }
  if (b_at.shape.size() < 2 || b_at.dtype != form.dtype)
    return malformed(step, "its second operand is {} of sizes {}", dtype_name(b_at.dtype),
                     to_text(b_at.shape));
  const size_t rank = b_at.shape.size();
  if (step.step->attributes.flag("transpose_b")) {
    std::swap(form.b.shape[rank - 1], form.b.shape[rank - 2]);
    std::swap(form.b.strides[rank - 1], form.b.strides[rank - 2]);
  }
  form.k = form.b.shape[rank - 2];
  form.n = form.b.shape[rank - 1];
  HR_ASSIGN(form.b, broadcast_batch(step, std::move(form.b), form.batch));
  return {};
}

}  // namespace

Result<MatmulForm> MatmulForm::make(const StepForm& step, const RecipeStep* packed) {
  HR_TRY(check_form(step, 2, 4, 1));
  MatmulForm form;
  form.packed = packed;
  form.out = step.outputs[0];
  const StepTensor& a = *step.inputs[0];
  form.dtype = a.dtype;
  const bool widened = form.out.dtype == DType::kF32 && (a.dtype == DType::kF16 || a.dtype == DType::kBF16);
  if (form.out.shape.size() < 2 || a.shape.size() < 2 || (a.dtype != form.out.dtype && !widened))
    return malformed(step, "{} of sizes {} and a result of sizes {} are no product", dtype_name(a.dtype),
                     to_text(a.shape), to_text(form.out.shape));
  form.batch.assign(form.out.shape.begin(), form.out.shape.end() - 2);
  form.m = form.out.shape[form.out.shape.size() - 2];
  HR_TRY(read_b(step, *step.inputs[1], form));
  if (a.shape.end()[-2] != form.m || a.shape.back() != form.k || form.out.shape.back() != form.n)
    return malformed(step, "sizes {} times [{}, {}] are not {}", to_text(a.shape), form.k, form.n,
                     to_text(form.out.shape));
  HR_ASSIGN(form.a, broadcast_batch(step, a, form.batch));
  if (step.inputs.size() > 2 && step.inputs[2]) {
    form.bias = step.inputs[2];
    if (form.bias->shape != Sizes{form.n} || form.bias->dtype != form.dtype)
      return malformed(step, "its bias is {} of sizes {}", dtype_name(form.bias->dtype),
                       to_text(form.bias->shape));
  }
  if (step.inputs.size() > 3 && step.inputs[3]) {
    form.residual = step.inputs[3];
    if (form.residual->dtype != form.dtype)
      return malformed(step, "its residual is {}", dtype_name(form.residual->dtype));
    HR_ASSIGN(form.residual->strides, broadcast_strides(step, *form.residual, form.out.shape));
    form.residual->shape = form.out.shape;
  }
  HR_ASSIGN(form.epilogue, unary_epilogue(step));
  return form;
}

}  // namespace headrace
