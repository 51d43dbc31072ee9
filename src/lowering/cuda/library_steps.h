// Steps that cuBLASLt and cuDNN run: products, convolutions and attention, where they take them. What they
// refuse becomes something that they take (an operand copied, padding made, an epilogue of its own) or a
// kernel of ours.
#pragma once

#include "ir/graph.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

Status lower_matmul(StepWriter& writer, const ir::Node& node);
Status lower_conv(StepWriter& writer, const ir::Node& node);
Status lower_attention(StepWriter& writer, const ir::Node& node);

}  // namespace headrace::cuda
