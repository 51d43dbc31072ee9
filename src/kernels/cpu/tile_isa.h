// Loops that are compiled once for each instruction set: which there are, and which is best here.
#pragma once

#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

#if defined(__x86_64__)
namespace avx512 {
const TileFunctions& functions();
const AttentionTiles& attention_functions();
}  // namespace avx512
namespace avx2 {
const TileFunctions& functions();
const AttentionTiles& attention_functions();
}  // namespace avx2
#endif
namespace baseline {
const TileFunctions& functions();
const AttentionTiles& attention_functions();
}  // namespace baseline

// The first of those that this machine has. `for_isa` gives nullptr for the others, and never for "baseline".
template <class Table>
const Table& best_isa(const Table* (*for_isa)(const char* isa)) {
  for (const char* isa : {"avx512", "avx2"})
    if (const Table* table = for_isa(isa)) return *table;
  return *for_isa("baseline");
}

}  // namespace headrace::cpu
