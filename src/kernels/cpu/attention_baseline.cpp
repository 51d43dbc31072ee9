// The inner loops of attention compiled for baseline.
#include "kernels/cpu/attention_tiles.h"

#include <cmath>
#include <cstdint>

#define HR_TILE_ISA baseline
#define HR_VECTOR_FLOATS 4
#define HR_VECTOR_COLUMNS 2
#include "kernels/cpu/attention_loops.inc"
