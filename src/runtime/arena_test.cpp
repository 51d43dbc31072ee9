#include "runtime/arena.h"

#include <gtest/gtest.h>

#include <random>

namespace headrace::runtime {
namespace {

TEST(Arena, ReusesThePlaceOfWhatIsOver) {
  const ArenaItem items[] = {{kib(64), 0, 1}, {kib(64), 1, 2}, {kib(64), 2, 3}, {kib(64), 3, 4}};
  EXPECT_EQ(lay_out_arena(items).size, kib(128));
}

TEST(Arena, OfNothingIsEmpty) {
  EXPECT_EQ(lay_out_arena({}).size, Bytes{0});
  const ArenaItem empty[] = {{{0}, 0, 9}, {{0}, 0, 9}};
  EXPECT_EQ(lay_out_arena(empty).size, Bytes{0});
}

TEST(Arena, NeverLetsItemsThatAreAliveTogetherOverlap) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<ArenaItem> items(random() % 60);
    int64_t most_alive = 0;
    for (ArenaItem& item : items) {
      item.size = {static_cast<int64_t>(random() % 5000)};
      item.first = static_cast<StepIndex>(random() % 40);
      item.last = item.first + static_cast<StepIndex>(random() % 10);
    }
    const ArenaLayout layout = lay_out_arena(items);
    ASSERT_EQ(layout.offsets.size(), items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      ASSERT_EQ(layout.offsets[i].count % kArenaAlignment.count, 0);
      ASSERT_LE(layout.offsets[i] + items[i].size, layout.size);
      for (size_t j = 0; j < i; ++j) {
        const bool together = items[i].first <= items[j].last && items[j].first <= items[i].last;
        const bool apart = layout.offsets[i] + items[i].size <= layout.offsets[j] ||
                           layout.offsets[j] + items[j].size <= layout.offsets[i];
        ASSERT_TRUE(!together || apart) << "seed " << seed << ", items " << i << " and " << j;
      }
    }
    for (StepIndex step = 0; step < 50; ++step) {
      int64_t alive = 0;
      for (const ArenaItem& item : items) {
        if (item.first <= step && step <= item.last) alive += (item.size.count + 63) / 64 * 64;
      }
      most_alive = std::max(most_alive, alive);
    }
    EXPECT_LE(layout.size.count, most_alive * 3 / 2 + 64) << "seed " << seed;
  }
}

}  // namespace
}  // namespace headrace::runtime
