#include "kernels/step_checks.h"

#include <algorithm>

namespace headrace {
namespace {

// Far above any machine's memory, and far below the overflow of a product with an element's size.
constexpr int64_t kMaxElements = int64_t{1} << 56;

Status check_tensor(const StepForm& step, const StepTensor& tensor) {
  if (tensor.shape.size() != tensor.strides.size())
    return malformed(step, "a tensor of {} sizes has {} strides", tensor.shape.size(), tensor.strides.size());
  if (static_cast<int>(tensor.dtype) >= kDTypeCount) return malformed(step, "a tensor has an unknown dtype");
  int64_t elements = 1;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] < 0 || tensor.strides[i] < 0) {
      return malformed(step, "a tensor has sizes {} and strides {}; none may be negative",
                       sizes_text(tensor.shape), sizes_text(tensor.strides));
    }
    if (tensor.shape[i] > 0 && elements > kMaxElements / tensor.shape[i])
      return malformed(step, "a tensor of sizes {} is too large", sizes_text(tensor.shape));
    elements *= std::max<int64_t>(tensor.shape[i], 1);
  }
  return {};
}

}  // namespace

Status check_form(const StepForm& step, size_t min_inputs, size_t max_inputs, size_t outputs) {
  if (step.inputs.size() < min_inputs || step.inputs.size() > max_inputs)
    return malformed(step, "it has {} inputs; {} to {} are due", step.inputs.size(), min_inputs, max_inputs);
  if (step.outputs.size() != outputs)
    return malformed(step, "it has {} outputs; {} are due", step.outputs.size(), outputs);
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    if (step.inputs[i]) {
      HR_TRY(check_tensor(step, *step.inputs[i]));
      const int32_t weight = step.inputs[i]->weight;
      const bool takes_rows = i == 0 && step.step->kernel == "gather";
      if (weight >= 0 && !takes_rows &&
          step.plan->weights[static_cast<size_t>(weight)].use == WeightUse::kRows)
        return malformed(step, "input {} is a weight that is only read by rows", i);
    } else if (i < min_inputs) {
      return malformed(step, "input {} is absent", i);
    }
  }
  for (const StepTensor& output : step.outputs) {
    HR_TRY(check_tensor(step, output));
    if (output.elements() == 0) continue;
    for (size_t i = 0; i < output.shape.size(); ++i) {
      if (output.strides[i] == 0 && output.shape[i] > 1)
        return malformed(step, "an output of sizes {} has strides {}: its elements share memory",
                         sizes_text(output.shape), sizes_text(output.strides));
    }
  }
  return {};
}

Status check_axis(const StepForm& step, const StepTensor& tensor, int64_t axis) {
  if (axis >= 0 && axis < static_cast<int64_t>(tensor.shape.size())) return {};
  return malformed(step, "axis {} is none of a tensor of sizes {}", axis, sizes_text(tensor.shape));
}

Result<Sizes> broadcast_strides(const StepForm& step, const StepTensor& from, const Sizes& shape) {
  Sizes strides(shape.size(), 0);
  const bool fits = from.shape.size() <= shape.size();
  const size_t lead = fits ? shape.size() - from.shape.size() : 0;
  for (size_t i = 0; fits && i < from.shape.size(); ++i) {
    if (from.shape[i] == shape[lead + i]) {
      strides[lead + i] = from.strides[i];
    } else if (from.shape[i] != 1) {
      return malformed(step, "sizes {} do not broadcast to {}", sizes_text(from.shape), sizes_text(shape));
    }
  }
  if (!fits)
    return malformed(step, "sizes {} do not broadcast to {}", sizes_text(from.shape), sizes_text(shape));
  return strides;
}

Result<std::optional<Pointwise>> unary_epilogue(const StepForm& step) {
  const std::string name = step.step->attributes.text("epilogue");
  if (name.empty()) return std::optional<Pointwise>();
  const PointwiseInfo* found = find_pointwise(name);
  if (!found || found->operands != 1 || found->to_bool || found->function == Pointwise::kCast)
    return malformed(step, "'{}' is no function of one number", name);
  return std::optional<Pointwise>(found->function);
}

}  // namespace headrace
