#include "kernels/attention_form.h"

#include <algorithm>

#include "kernels/step_checks.h"

namespace headrace {

namespace {

bool same_lead(const Sizes& a, const Sizes& b, size_t without) {
  return a.size() == b.size() && std::equal(a.begin(), a.end() - static_cast<int64_t>(without), b.begin());
}

}  // namespace

Result<AttentionForm> AttentionForm::make(const StepForm& step) {
  HR_TRY(check_form(step, 3, 4, 1));
  AttentionForm form;
  form.q = *step.inputs[0];
  form.k = *step.inputs[1];
  form.v = *step.inputs[2];
  form.out = step.outputs[0];
  form.dtype = form.q.dtype;
  const Sizes &q = form.q.shape, &k = form.k.shape, &v = form.v.shape, &out = form.out.shape;
  const bool fits = q.size() >= 3 && same_lead(q, k, 3) && same_lead(k, v, 1) && same_lead(q, out, 1) &&
                    k.back() == q.back() && out.back() == v.back() && k.end()[-3] >= 1 &&
                    q.end()[-3] % k.end()[-3] == 0;
  const bool alike = is_float(form.dtype) && form.k.dtype == form.dtype && form.v.dtype == form.dtype &&
                     form.out.dtype == form.dtype;
  if (!fits || !alike)
    return malformed(step, "queries {}, keys {}, values {} do not give {}", to_text(q), to_text(k),
                     to_text(v), to_text(out));
  form.batch.assign(q.begin(), q.end() - 3);
  form.heads = q.end()[-3];
  form.groups = k.end()[-3];
  form.queries = q.end()[-2];
  form.keys = k.end()[-2];
  form.depth = q.back();
  form.width = v.back();
  form.scale = step.step->attributes.number("scale", 1);
  form.causal = step.step->attributes.flag("causal");
  Sizes scores = q;
  scores.back() = form.keys;
  if (step.inputs.size() > 3 && step.inputs[3]) {
    StepTensor mask = *step.inputs[3];
    const bool adds = is_float(mask.dtype) && (mask.dtype == DType::kF64) == (form.dtype == DType::kF64);
    if (mask.dtype != DType::kBool && !adds) return malformed(step, "its mask is {}", dtype_name(mask.dtype));
    HR_ASSIGN(mask.strides, broadcast_strides(step, mask, scores));
    mask.shape = scores;
    form.mask = std::move(mask);
  }
  return form;
}

}  // namespace headrace
