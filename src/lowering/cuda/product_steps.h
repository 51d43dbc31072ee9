// Matrix products by a kernel of ours, for what the libraries do not take.
#pragma once

#include "ir/graph.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

Status write_matmul(StepWriter& writer, const ir::Node& node);

}  // namespace headrace::cuda
