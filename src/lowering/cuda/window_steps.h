// Steps whose results each look at a window of their operand: padding, pools, and convolutions of ours.
#pragma once

#include "ir/graph.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

Status write_pad(StepWriter& writer, const ir::Node& node);
Status write_pool(StepWriter& writer, const ir::Node& node);  // max_pool, avg_pool, adaptive_avg_pool
Status write_conv(StepWriter& writer, const ir::Node& node);  // any: simple and slow

// The image that a convolution reads once all its padding is in it: the shape, and a step that makes it.
Shape padded_shape(const ir::Node& conv);
TensorIndex write_padded_image(StepWriter& writer, const ir::Node& conv, TensorIndex x);

// x, or a result, of a convolution or pool with its dimensions in the order N, spatial.., C.
TensorIndex channels_last_view(PlanBuilder& builder, TensorIndex tensor, bool is_already);

}  // namespace headrace::cuda
