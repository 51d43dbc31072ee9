// The tile functions compiled for baseline.
#include "kernels/cpu/tile_isa.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/half.h"

#define HR_TILE_ISA baseline
#include "kernels/cpu/tile_loops.inc"
