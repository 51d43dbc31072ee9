// ConvForm: a conv step, checked, with its tensors' dims as [N, C, spatial..].
#pragma once

#include "kernels/cpu/conv_shape.h"
#include "kernels/cpu/products.h"

namespace headrace::cpu {

struct ConvForm {
  DType dtype = DType::kF32;
  const RecipeStep* packed = nullptr;  // w is a packed weight: this is its layout
  bool channels_last = false;
  ConvShape shape;
  StepTensor x, weight, y;  // weight: dims as shape.weight; its bytes where packed
  std::optional<StepTensor> bias, residual;
  std::optional<Pointwise> epilogue;

  // Errors: kCorrupt.
  static Result<ConvForm> make(const StepShapes& step);
};

}  // namespace headrace::cpu
