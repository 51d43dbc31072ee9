// The tile functions compiled for avx512.
#include "kernels/cpu/tile_isa.h"

#if defined(__x86_64__)
// Every header comes before the pragma, so that no inline function of theirs is compiled for this set alone.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/half.h"

#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")
#define HR_TILE_F16C 1
#define HR_TILE_ISA avx512
#include "kernels/cpu/tile_loops.inc"
#pragma GCC pop_options
#endif
