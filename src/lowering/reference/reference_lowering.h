// The reference back end's building half: every op as it is, one step a node.
#pragma once

#include <memory>

#include "lowering/lowering.h"

namespace headrace::reference {
std::unique_ptr<Lowering> make_lowering();
}
