#include "kernels/step_form.h"

#include <algorithm>

#include "core/error.h"
#include "engine/sizes.h"
#include "kernels/refused_plan.h"

namespace headrace {
namespace {

Result<StepTensor> evaluate_tensor(const Plan& plan, TensorIndex index, const DimBindings& dims) {
  const PlanTensor& from = plan.tensors[static_cast<size_t>(index)];
  StepTensor tensor;
  tensor.dtype = from.dtype;
  tensor.buffer = from.buffer;
  HR_ASSIGN(tensor.shape, evaluate(from.shape, dims));
  HR_ASSIGN(tensor.strides, evaluate(from.strides, dims));
  HR_ASSIGN(tensor.offset, from.offset.evaluate(dims));
  const Buffer& buffer = plan.buffers[static_cast<size_t>(from.buffer)];
  HR_ASSIGN(const int64_t size, buffer.size.evaluate(dims));
  const std::optional<int64_t> end = window_end(tensor.shape, tensor.strides, tensor.offset);
  if (!end || *end > size / dtype_size(from.dtype))
    return refused_plan("a tensor of sizes {} and strides {} at {} leaves its buffer of {} bytes",
                        to_text(tensor.shape), to_text(tensor.strides), tensor.offset, size);
  if (buffer.kind == BufferKind::kWeight) tensor.weight = buffer.index;
  return tensor;
}

}  // namespace

bool StepTensor::row_major() const {
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

int64_t StepTensor::elements() const { return element_count(shape); }

std::byte* StepTensor::at(const Addresses& addresses) const {
  std::byte* start = buffer == kNone ? nullptr : addresses.buffers[static_cast<size_t>(buffer)];
  return start == nullptr ? nullptr : start + offset * dtype_size(dtype);
}

bool StepForm::empty() const {
  return std::ranges::all_of(outputs, [](const StepTensor& output) { return output.elements() == 0; });
}

Status evaluate_tensors(const Step& step, StepForm& form) {
  form.step = &step;
  form.inputs.clear();
  form.outputs.clear();
  for (const TensorIndex input : step.inputs) {
    std::optional<StepTensor>& tensor = form.inputs.emplace_back();
    if (input == kNone) continue;
    HR_ASSIGN(tensor, evaluate_tensor(*form.plan, input, form.dims));
  }
  for (const TensorIndex output : step.outputs) {
    HR_ASSIGN(StepTensor tensor, evaluate_tensor(*form.plan, output, form.dims));
    form.outputs.push_back(std::move(tensor));
  }
  return {};
}

}  // namespace headrace
