// ConvForm: a conv step, checked, with its tensors' dims as [N, C, spatial..].
#pragma once

#include "core/pointwise.h"
#include "kernels/conv_shape.h"
#include "kernels/step_form.h"

namespace headrace {

struct ConvForm {
  DType dtype = DType::kF32;
  const RecipeStep* packed = nullptr;  // w is a packed weight: this is its layout
  bool channels_last = false;
  ConvShape shape;
  StepTensor x, weight, y;  // weight: dims as shape.weight; its bytes where packed
  std::optional<StepTensor> bias, residual;
  std::optional<Pointwise> epilogue;

  // `packed`: of the weight, nullptr where it is plain. Errors: kCorrupt.
  static Result<ConvForm> make(const StepForm& step, const RecipeStep* packed = nullptr);
};

}  // namespace headrace
