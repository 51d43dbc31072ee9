#include "kernels/cpu/attention_form.h"

#include "core/error.h"

namespace headrace::cpu {

Result<AttentionForm> AttentionForm::make(const StepShapes& step) {
  AttentionForm form;
  HR_ASSIGN(static_cast<headrace::AttentionForm&>(form), headrace::AttentionForm::make(step));
  std::vector<Sizes> strides;
  for (const StepTensor* tensor : {&form.out, &form.q, &form.k, &form.v})
    strides.emplace_back(tensor->strides.begin(), tensor->strides.end() - 3);
  strides.push_back(form.mask ? Sizes(form.mask->strides.begin(), form.mask->strides.end() - 3)
                              : Sizes(form.batch.size(), 0));
  form.nest = make_nest(form.batch, strides);
  return form;
}

}  // namespace headrace::cpu
