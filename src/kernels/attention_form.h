// AttentionForm: an attention step, checked, with its sizes and strides by role.
#pragma once

#include "kernels/step_form.h"

namespace headrace {

struct AttentionForm {
  DType dtype = DType::kF32;
  Sizes batch;
  int64_t heads = 1, groups = 1, queries = 0, keys = 0, depth = 0, width = 0;
  double scale = 1;
  bool causal = false;
  // Strides are those of [batch.., heads (groups), rows, columns].
  StepTensor q, k, v, out;
  std::optional<StepTensor> mask;  // broadcast to [batch.., heads, queries, keys]

  int64_t batches() const { return element_count(batch); }
  int64_t heads_per_group() const { return heads / groups; }

  // Errors: kCorrupt.
  static Result<AttentionForm> make(const StepForm& step);
};

inline int64_t head_stride(const StepTensor& tensor) { return tensor.strides.end()[-3]; }
inline int64_t row_stride(const StepTensor& tensor) { return tensor.strides.end()[-2]; }
inline int64_t column_stride(const StepTensor& tensor) { return tensor.strides.back(); }

}  // namespace headrace
