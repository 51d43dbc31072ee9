// MatmulForm: a matmul step, checked, with every operand broadcast.
#pragma once

#include "core/pointwise.h"
#include "kernels/step_form.h"

namespace headrace {

struct MatmulForm {
  DType dtype = DType::kF32;           // of the operands; a result of 16-bit ones may be f32
  const RecipeStep* packed = nullptr;  // b is a packed weight: this is its layout
  Sizes batch;
  int64_t m = 0, k = 0, n = 0;
  // Strides are those of [batch.., M, K], [batch.., K, N] (not for a packed b) and [batch.., M, N].
  StepTensor a, b, out;
  std::optional<StepTensor> bias;      // [N]
  std::optional<StepTensor> residual;  // as out
  std::optional<Pointwise> epilogue;

  // `packed`: of b, nullptr where it is plain. Errors: kCorrupt.
  static Result<MatmulForm> make(const StepForm& step, const RecipeStep* packed = nullptr);
};

}  // namespace headrace
