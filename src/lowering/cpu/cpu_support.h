// What the CPU back end supports, and why not.
#pragma once

#include "lowering/lowering.h"

namespace headrace::cpu {

Support supports_node(const ir::Node& node);

}  // namespace headrace::cpu
