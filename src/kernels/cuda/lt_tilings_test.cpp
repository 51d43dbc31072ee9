#include "kernels/cuda/lt_tilings.h"

#include <cublasLt.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace headrace::cuda {
namespace {

constexpr int kMultiprocessors = 132;

const LtTile& tile_of(int id) {
  const auto tiles = lt_tiles();
  return *std::find_if(tiles.begin(), tiles.end(), [&](const LtTile& tile) { return tile.id == id; });
}
// The place of a tile of these sizes, or -1.
int64_t place(const std::vector<LtTiling>& tilings, int rows, int columns, int split) {
  for (size_t i = 0; i < tilings.size(); ++i) {
    const LtTile& tile = tile_of(tilings[i].tile);
    if (tile.rows == rows && tile.columns == columns && tilings[i].split == split)
      return static_cast<int64_t>(i);
  }
  return -1;
}

TEST(LtTilings, KnowsTheSizesOfTilesFromTheirNames) {
  EXPECT_GT(lt_tiles().size(), 30u);
  EXPECT_EQ(tile_of(CUBLASLT_MATMUL_TILE_128x256).rows, 128);
  EXPECT_EQ(tile_of(CUBLASLT_MATMUL_TILE_128x256).columns, 256);
  EXPECT_EQ(tile_of(CUBLASLT_MATMUL_TILE_64x8).columns, 8);
}

// What was fastest of a random thousand on an H200.
TEST(LtTilings, FindsWhatWasMeasuredToBeFast) {
  const auto few = [](int64_t m, int64_t n, int64_t k) {
    return likely_tilings({m, n, k}, kMultiprocessors, 24);
  };
  EXPECT_GE(place(few(4096, 192, 11008), 128, 96, 2), 0);
  EXPECT_GE(place(few(22016, 192, 4096), 192, 192, 1), 0);
  EXPECT_GE(place(few(2304, 4096, 768), 128, 144, 1), 0);
  EXPECT_GE(place(few(3072, 4096, 768), 128, 128, 1), 0);
  EXPECT_GE(place(few(768, 4096, 3072), 256, 96, 1), 0);
}

TEST(LtTilings, SplitsDeepProductsThatHaveFewTiles) {
  const std::vector<LtTiling> deep = likely_tilings({128, 128, 65536}, kMultiprocessors, 4);
  ASSERT_FALSE(deep.empty());
  EXPECT_GT(deep.front().split, 1);
  for (const LtTiling& tiling : likely_tilings({4096, 4096, 128}, kMultiprocessors, 100))
    EXPECT_EQ(tiling.split, 1);
}

TEST(LtTilings, GivesNoMoreThanAsked) {
  EXPECT_EQ(likely_tilings({64, 64, 64}, kMultiprocessors, 7).size(), 7u);
  EXPECT_TRUE(likely_tilings({64, 64, 64}, 0, 0).empty());
}

}  // namespace
}  // namespace headrace::cuda
