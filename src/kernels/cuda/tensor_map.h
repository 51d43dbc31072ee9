// The driver's description of a tensor that boxes are copied from.
#pragma once

#include <headrace/status.h>
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/boxed_tensor.h"
#include "kernels/cuda/generated_args.h"

namespace headrace::cuda {

// REQUIRES: a dtype of 16 bits; `data` and all strides but the first lie on 16 bytes; sm_90 or later.
// Host work of a microsecond; may be called while a stream captures. Errors: kUnavailable.
Result<TensorMap> describe_boxes(const CudaDevice& device, const BoxedTensor& tensor, const void* data);

}  // namespace headrace::cuda
