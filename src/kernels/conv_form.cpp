#include "kernels/conv_form.h"

#include <algorithm>

#include "kernels/step_checks.h"

namespace headrace {

namespace {

// The channels of a channels-last tensor, moved to their place after N.
StepTensor channels_first(StepTensor tensor, bool channels_last) {
  if (!channels_last || tensor.shape.size() < 3) return tensor;
  std::rotate(tensor.shape.begin() + 1, tensor.shape.end() - 1, tensor.shape.end());
  std::rotate(tensor.strides.begin() + 1, tensor.strides.end() - 1, tensor.strides.end());
  return tensor;
}

// The weight's dims as oneDNN has them: [groups,] outputs, inputs, kernel.., by strides.
StepTensor weight_view(StepTensor tensor, const ConvShape& shape) {
  const size_t lead = shape.groups > 1 ? 3 : 2;
  const int64_t first = tensor.strides[0], second = tensor.strides[1];
  const int64_t per_group = tensor.shape[0] / shape.groups;
  Sizes strides = shape.transposed ? Sizes{second, first} : Sizes{first, second};
  if (lead == 3) strides.insert(strides.begin(), per_group * first);
  strides.insert(strides.end(), tensor.strides.begin() + 2, tensor.strides.end());
  tensor.shape = shape.weight;
  tensor.strides = std::move(strides);
  return tensor;
}

Status read_extras(const StepForm& step, ConvForm& form) {
  if (step.inputs.size() > 2 && step.inputs[2]) {
    form.bias = step.inputs[2];
    if (form.bias->shape != Sizes{form.shape.y[1]} || form.bias->dtype != form.dtype)
      return malformed(step, "its bias is {} of sizes {}", dtype_name(form.bias->dtype),
                       to_text(form.bias->shape));
  }
  if (step.inputs.size() > 3 && step.inputs[3]) {
    StepTensor residual = *step.inputs[3];
    if (residual.dtype != form.dtype)
      return malformed(step, "its residual is {}", dtype_name(residual.dtype));
    HR_ASSIGN(residual.strides, broadcast_strides(step, residual, step.outputs[0].shape));
    residual.shape = step.outputs[0].shape;
    form.residual = channels_first(std::move(residual), form.channels_last);
  }
  HR_ASSIGN(form.epilogue, unary_epilogue(step));
  return {};
}

}  // namespace

Result<ConvForm> ConvForm::make(const StepForm& step, const RecipeStep* packed) {
  HR_TRY(check_form(step, 2, 4, 1));
  ConvForm form;
  const AttributeMap& attributes = step.step->attributes;
  form.dtype = step.outputs[0].dtype;
  form.channels_last = attributes.flag("channels_last");
  form.x = channels_first(*step.inputs[0], form.channels_last);
  form.y = channels_first(step.outputs[0], form.channels_last);
  form.weight = channels_first(*step.inputs[1], attributes.flag("weight_channels_last"));
  Sizes weight_sizes = form.weight.shape;
  DType weight_dtype = form.weight.dtype;
  form.packed = packed;
  if (packed) {
    weight_sizes = packed->shape;
    weight_dtype = packed->dtype;
  }
  const std::optional<ConvShape> shape = ConvShape::make(attributes, form.x.shape, weight_sizes);
  if (!shape || shape->y != form.y.shape || form.x.dtype != form.dtype || weight_dtype != form.dtype ||
      !is_float(form.dtype))
    return malformed(step, "{} of sizes {}, a weight of {} and a result of {} are no convolution",
                     dtype_name(form.x.dtype), to_text(form.x.shape), to_text(weight_sizes),
                     to_text(form.y.shape));
  form.shape = *shape;
  if (!form.packed) form.weight = weight_view(std::move(form.weight), form.shape);
  HR_TRY(read_extras(step, form));
  return form;
}

}  // namespace headrace
