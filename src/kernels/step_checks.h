// Checks of a step's form. Plans come from files, so whatever is wrong is kCorrupt, and names the step.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/pointwise.h"
#include "kernels/refused_plan.h"
#include "kernels/step_form.h"

namespace headrace {

template <class... Args>
Status malformed(const StepForm& step, fmt::format_string<Args...> format, Args&&... args) {
  return refused_plan("step '{}' ({}): {}", step.step->label, step.step->kernel,
                      fmt::format(format, std::forward<Args>(args)...));
}

inline std::string sizes_text(std::span<const int64_t> sizes) { return to_text(sizes); }

// Whether there are min..max inputs, of which the first `min` are present, and just `outputs` outputs;
// whether all sizes and strides are sane, and no two elements of an output share memory through a stride of
// 0.
Status check_form(const StepForm& step, size_t min_inputs, size_t max_inputs, size_t outputs);
// Whether `axis` is an axis of `tensor`.
Status check_axis(const StepForm& step, const StepTensor& tensor, int64_t axis);
// Whether `from` broadcasts to `shape`; its strides for that, aligned right.
Result<Sizes> broadcast_strides(const StepForm& step, const StepTensor& from, const Sizes& shape);
// The function of the step's `epilogue` attribute, of one number to one; nullopt where there is none.
Result<std::optional<Pointwise>> unary_epilogue(const StepForm& step);

}  // namespace headrace
