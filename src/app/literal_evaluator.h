// Folds nodes of literals with the reference back end.
#pragma once

#include <cstddef>
#include <vector>

#include <headrace/status.h>
#include "ir/graph.h"

namespace headrace::app {

// The bytes of each output of a node whose inputs are all literals; a passes::LiteralEvaluator.
Result<std::vector<std::vector<std::byte>>> evaluate_literals(const ir::Node& node);

}  // namespace headrace::app
