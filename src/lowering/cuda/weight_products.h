// Kernels of ours for products with a weight (device/weight_products.cuh), beside cuBLASLt's.
#pragma once

#include <vector>

#include "ir/graph.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

// Adds to the attributes of a step "matmul" (a, b, [bias], [residual] -> y) the kernels that may take it
// (kernels/cuda/product_step.h); none where its operands are not such, or so large that cuBLASLt surely wins.
void add_weight_products(StepWriter& writer, const ir::Node& node, const std::vector<TensorIndex>& inputs,
                         TensorIndex output, AttributeMap& attributes);

}  // namespace headrace::cuda
