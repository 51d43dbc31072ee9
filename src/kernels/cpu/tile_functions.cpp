#include "kernels/cpu/tile_functions.h"

#include <string_view>

#include "kernels/cpu/tile_isa.h"

namespace headrace::cpu {

const TileFunctions* tile_functions_for(const char* isa) {
  const std::string_view name(isa);
#if defined(__x86_64__)
  if (name == "avx512") {
    const bool present = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                         __builtin_cpu_supports("fma");
    return present ? &avx512::functions() : nullptr;
  }
  if (name == "avx2") {
    const bool present = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return present ? &avx2::functions() : nullptr;
  }
#endif
  return name == "baseline" ? &baseline::functions() : nullptr;
}

const TileFunctions& tile_functions() {
  static const TileFunctions& best = best_isa(tile_functions_for);
  return best;
}

}  // namespace headrace::cpu
