// Steps that work along rows: norms, softmax, reductions, scans.
#pragma once

#include "ir/graph.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

Status write_softmax(StepWriter& writer, const ir::Node& node);
Status write_norm(StepWriter& writer, const ir::Node& node);  // layer_norm, rms_norm, group_norm
Status write_reduce(StepWriter& writer, const ir::Node& node);
Status write_arg_reduce(StepWriter& writer, const ir::Node& node);
Status write_cumsum(StepWriter& writer, const ir::Node& node);

}  // namespace headrace::cuda
