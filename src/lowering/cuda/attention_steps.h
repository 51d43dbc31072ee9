// Attention by kernels of ours: on tensor cores of f16 and bf16, in boxes where there are many queries; else
// simply.
#pragma once

#include "ir/graph.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

// REQUIRES: the sizes of a head are constants.
Status write_attention(StepWriter& writer, const ir::Node& node);

}  // namespace headrace::cuda
