// Convolutions over few channels, in steps: the first layer of an image model.
//
// cuDNN's fast kernels want many channels. Where a window moves s cells at a time, each s × s block of cells
// can be one cell of s · s times the channels: the image is written so, with its padding, and the weights are
// stored so. What is left is a convolution of ceil(k / s) cells in steps of one.
#pragma once

#include "ir/graph.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

// False where that is not for this node, or cuDNN does not take it; nothing is written then.
Result<bool> lower_folded_conv(StepWriter& writer, const ir::Node& node);

}  // namespace headrace::cuda
