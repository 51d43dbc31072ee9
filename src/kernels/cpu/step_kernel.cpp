#include "kernels/cpu/step_kernel.h"

namespace headrace::cpu {

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

}  // namespace headrace::cpu
