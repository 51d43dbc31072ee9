// The tile functions of each instruction set: tile_loops.inc, compiled once for each.
#pragma once

#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

#if defined(__x86_64__)
namespace avx512 {
const TileFunctions& functions();
}
namespace avx2 {
const TileFunctions& functions();
}
#endif
namespace baseline {
const TileFunctions& functions();
}

}  // namespace headrace::cpu
