// What the cuda back end can do, asked node by node.
#pragma once

#include "lowering/lowering.h"

namespace headrace::cuda {

Support supports_node(const ir::Node& node);

}  // namespace headrace::cuda
