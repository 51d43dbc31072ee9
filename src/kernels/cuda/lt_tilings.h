// Which tiles of cuBLASLt are likely to do a product soon. Its heuristics name a handful of algorithms; its
// newest kernels take tens of thousands, and the best of them is often not among that handful (up to a tenth,
// for a few hundred rows).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::cuda {

// A product in cuBLASLt's terms: [m, k] by [k, n].
struct LtSizes {
  int64_t m = 0, n = 0, k = 0, batch = 1;
};

// Of the result, by CUBLASLT_ALGO_CONFIG_TILE_ID.
struct LtTile {
  int id, rows, columns;
};
std::span<const LtTile> lt_tiles();

struct LtTiling {
  int tile = 0;   // LtTile::id
  int split = 1;  // CUBLASLT_ALGO_CONFIG_SPLITK_NUM
  bool operator==(const LtTiling&) const = default;
};

// At most `count`, the likeliest first: by how many rounds of tiles the multiprocessors need, what a tile
// takes, and what adding up the parts of a split product costs. Not all of them exist for a problem:
// cublasLtMatmulAlgoCheck says.
std::vector<LtTiling> likely_tilings(const LtSizes& sizes, int multiprocessors, size_t count);

}  // namespace headrace::cuda
