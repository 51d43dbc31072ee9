// A graph as a plan of the cuda back end, with the source of the kernels that are generated for it.
#pragma once

#include <string>

#include "lowering/cuda/kernel_sources.h"
#include "lowering/cuda/step_writer.h"
#include "lowering/plan_builder.h"

namespace headrace::cuda {

// Plan::code is left to the caller, who compiles `sources`.
Result<Plan> lower_graph(const ir::Graph& graph, Target target, KernelSources& sources);

}  // namespace headrace::cuda
