#include "kernels/cuda/lt_tilings.h"

#include <algorithm>
#include <array>

namespace headrace::cuda {
namespace {

constexpr LtTile kLtTiles[] = {
#include "headrace_lt_tiles.inc"
};

constexpr std::array kSplits = {1, 2, 3, 4, 6, 8};

// Fitted to what an H200 measured for products of 192 and of 4096 rows.
constexpr double kTileOverhead = 192;           // a tile's start and end, as so much depth
constexpr int64_t kShallowest = 256;            // no part of a split product is
constexpr double kNarrowness = 32;              // loading what 1 / rows + 1 / columns of a tile stand for
constexpr double kCellsPerMicrosecond = 5.2e6;  // of a tile's rows by columns by depth, a multiprocessor
constexpr double kBytesPerMicrosecond = 3e6;
constexpr int kMostSums = 192 * 256;  // of a tile: what the registers of a multiprocessor hold
constexpr int kLongest = 256;         // side of a tile

// Tensor cores take 64 rows (or, turned, columns) at once; other tiles waste a part of them.
bool is_usual(const LtTile& tile) {
  return tile.rows * tile.columns <= kMostSums && std::max(tile.rows, tile.columns) <= kLongest &&
         (tile.rows % 64 == 0 || tile.columns % 64 == 0);
}

int64_t parts_of(int64_t size, int64_t part) { return (size + part - 1) / part; }

double microseconds(const LtSizes& sizes, int multiprocessors, const LtTile& tile, int split) {
  const int64_t tiles = parts_of(sizes.m, tile.rows) * parts_of(sizes.n, tile.columns) * sizes.batch * split;
  const double rounds = static_cast<double>(parts_of(tiles, multiprocessors));
  const double rows = tile.rows, columns = tile.columns;
  const double depth = static_cast<double>(sizes.k) / split + kTileOverhead;
  const double narrow = 1 + kNarrowness * (1 / rows + 1 / columns);
  double time = rounds * depth * rows * columns * narrow / kCellsPerMicrosecond;
  if (split > 1) {
    constexpr double kLaunch = 2;
    const double bytes = static_cast<double>(sizes.m * sizes.n * sizes.batch) * (4 * split + 2);
    time += kLaunch + bytes / kBytesPerMicrosecond;
  }
  return time;
}

}  // namespace

std::span<const LtTile> lt_tiles() { return kLtTiles; }

std::vector<LtTiling> likely_tilings(const LtSizes& sizes, int multiprocessors, size_t count) {
  struct Guess {
    double time;
    LtTiling tiling;
  };
  std::vector<Guess> guesses;
  for (const LtTile& tile : kLtTiles)
    for (const int split : kSplits)
      if (is_usual(tile) && (split == 1 || sizes.k >= split * kShallowest))
        guesses.push_back({microseconds(sizes, std::max(multiprocessors, 1), tile, split), {tile.id, split}});
  std::stable_sort(guesses.begin(), guesses.end(),
                   [](const Guess& a, const Guess& b) { return a.time < b.time; });
  if (guesses.size() > count) guesses.resize(count);
  std::vector<LtTiling> tilings;
  for (const Guess& guess : guesses) tilings.push_back(guess.tiling);
  return tilings;
}

}  // namespace headrace::cuda
