#include "kernels/cpu/attention_tiles.h"

#include <string_view>

#include "kernels/cpu/tile_isa.h"

namespace headrace::cpu {

const AttentionTiles* attention_tiles_for(const char* isa) {
  if (tile_functions_for(isa) == nullptr) return nullptr;
  const std::string_view name(isa);
#if defined(__x86_64__)
  if (name == "avx512") return &avx512::attention_functions();
  if (name == "avx2") return &avx2::attention_functions();
#endif
  return name == "baseline" ? &baseline::attention_functions() : nullptr;
}

const AttentionTiles& attention_tiles() {
  static const AttentionTiles& best = best_isa(attention_tiles_for);
  return best;
}

}  // namespace headrace::cpu
