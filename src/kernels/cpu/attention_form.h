// AttentionForm: the step, and how the CPU's loops walk its batch.
#pragma once

#include "kernels/attention_form.h"
#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

struct AttentionForm : headrace::AttentionForm {
  LoopNest nest;  // over the batch: of out, q, k, v, mask

  // Where a batch starts in tensor `t` of the nest, in elements.
  int64_t batch_offset(size_t t, int64_t index) const { return nest.offset(t, index, 0); }

  // Errors: kCorrupt.
  static Result<AttentionForm> make(const StepShapes& step);
};

// f64, with a row of scores for each thread.
std::unique_ptr<StepKernel> make_double_attention(AttentionForm form, int threads);

}  // namespace headrace::cpu
