// A graph as a plan of the cuda back end, with the source of the kernels that are generated for it.
#pragma once

#include <string>

#include "lowering/cuda/kernel_sources.h"
#include "lowering/plan_builder.h"

namespace headrace::cuda {

// `sm`: of the target, 90. Plan::code is left to the caller, who compiles `sources`.
Result<Plan> lower_graph(const ir::Graph& graph, int sm, KernelSources& sources);

}  // namespace headrace::cuda
