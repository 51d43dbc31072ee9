// Steps whose results each look at a window of their operand: padding, pools, and convolutions of ours.
#pragma once

#include "ir/graph.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

Status write_pad(StepWriter& writer, const ir::Node& node);
Status write_pool(StepWriter& writer, const ir::Node& node);  // max_pool, avg_pool, adaptive_avg_pool
Status write_conv(StepWriter& writer, const ir::Node& node);  // any: simple and slow

// x in y, `low` elements further in each dimension, and `value` around it.
void write_padded(StepWriter& writer, const ir::Node& node, TensorIndex x, TensorIndex y, const Sizes& low,
                  double value);

// x, or a result, of a convolution or pool with its dimensions in the order N, spatial.., C.
TensorIndex channels_last_view(PlanBuilder& builder, TensorIndex tensor, bool is_already);

}  // namespace headrace::cuda
