// The CPU back end's building half.
#pragma once

#include <memory>

#include "lowering/lowering.h"

namespace headrace::cpu {
std::unique_ptr<Lowering> make_lowering();
}
