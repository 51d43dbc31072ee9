// AttentionForm: an attention step, checked, with its sizes and strides by role.
#pragma once

#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

struct AttentionForm {
  DType dtype = DType::kF32;
  Sizes batch;
  int64_t heads = 1, groups = 1, queries = 0, keys = 0, depth = 0, width = 0;
  double scale = 1;
  bool causal = false;
  // Strides are those of [batch.., heads (groups), rows, columns].
  StepTensor q, k, v, out;
  std::optional<StepTensor> mask;  // broadcast to [batch.., heads, queries, keys]
  LoopNest nest;                   // over the batch: of out, q, k, v, mask

  int64_t batches() const { return element_count(batch); }
  int64_t heads_per_group() const { return heads / groups; }
  // Where a batch starts in tensor `t` of the nest, in elements.
  int64_t batch_offset(size_t t, int64_t index) const { return nest.offset(t, index, 0); }

  // Errors: kCorrupt.
  static Result<AttentionForm> make(const StepShapes& step);
};

inline int64_t head_stride(const StepTensor& tensor) { return tensor.strides.end()[-3]; }
inline int64_t row_stride(const StepTensor& tensor) { return tensor.strides.end()[-2]; }
inline int64_t column_stride(const StepTensor& tensor) { return tensor.strides.back(); }

// f64, with a row of scores for each thread.
std::unique_ptr<StepKernel> make_double_attention(AttentionForm form, int threads);

}  // namespace headrace::cpu
