#include "kernels/cpu/attention_tiles.h"

#include <string_view>

#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

#if defined(__x86_64__)
namespace avx512 {
const AttentionTiles& attention_functions();
}
namespace avx2 {
const AttentionTiles& attention_functions();
}
#endif
namespace baseline {
const AttentionTiles& attention_functions();
}

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
  static const AttentionTiles& best = []() -> const AttentionTiles& {
    for (const char* isa : {"avx512", "avx2"}) {
      if (const AttentionTiles* tiles = attention_tiles_for(isa)) return *tiles;
    }
    return baseline::attention_functions();
  }();
  return best;
}

}  // namespace headrace::cpu
