// What is asked of cuDNN, in its terms: dims and strides of tensors, outermost first by meaning
// ([N, C, spatial..]; [B, H, S, D]), whatever lies innermost in memory.
#pragma once

#include <optional>
#include <string>

#include <headrace/dtype.h>
#include "core/pointwise.h"
#include "core/shape.h"
#include "kernels/attention_form.h"
#include "kernels/conv_form.h"

namespace headrace::cuda {

struct CudnnTensor {
  DType dtype = DType::kF32;
  Sizes dims, strides;
  std::string text() const;
  bool operator==(const CudnnTensor&) const = default;
};

// epilogue(x * w + bias + residual) -> y. Spatial dims are two or three.
struct ConvProblem {
  CudnnTensor x, w, y;
  bool bias = false, residual = false;  // the residual lies as y does
  Sizes stride, dilation, low, high;
  std::optional<Pointwise> epilogue;
  bool tf32 = false;  // f32 may be rounded to it

  std::string key() const;
  // nullopt where cuDNN does not take it: library_takes_conv refuses such a step.
  static std::optional<ConvProblem> make(const ConvForm& form, bool tf32);
};

struct AttentionProblem {
  CudnnTensor q, k, v, out;
  std::optional<CudnnTensor> mask;
  double scale = 1;
  bool causal = false;

  std::string key() const;
  static std::optional<AttentionProblem> make(const AttentionForm& form);
};

}  // namespace headrace::cuda
