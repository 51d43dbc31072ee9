// The program that a pointwise node stands for.
#pragma once

#include "core/pointwise.h"
#include "ir/graph.h"

namespace headrace {

// That of a node of fused functions; of a single function, one instruction.
// REQUIRES: node.op()->pointwise, or node.is("pointwise").
Result<PointwiseProgram> program_of(const ir::Node& node);

}  // namespace headrace
