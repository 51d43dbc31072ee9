// The inner loops of attention compiled for avx2.
#include "kernels/cpu/attention_tiles.h"

#if defined(__x86_64__)
#include <cmath>
#include <cstdint>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#define HR_TILE_ISA avx2
#define HR_VECTOR_FLOATS 8
#define HR_VECTOR_COLUMNS 2
#include "kernels/cpu/attention_loops.inc"
#pragma GCC pop_options
#endif
