// The inner loops of attention compiled for avx512.
#include "kernels/cpu/attention_tiles.h"

#if defined(__x86_64__)
#include <cmath>
#include <cstdint>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")
#define HR_TILE_ISA avx512
#define HR_VECTOR_FLOATS 16
#define HR_VECTOR_COLUMNS 4
#include "kernels/cpu/attention_loops.inc"
#pragma GCC pop_options
#endif
