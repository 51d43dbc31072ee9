#include "runtime/arena.h"

#include <algorithm>
#include <numeric>

namespace headrace::runtime {
namespace {

int64_t aligned(int64_t size) {
  return (size + kArenaAlignment.count - 1) / kArenaAlignment.count * kArenaAlignment.count;
}

}  // namespace

ArenaLayout lay_out_arena(std::span<const ArenaItem> items) {
  ArenaLayout layout;
  layout.offsets.resize(items.size());
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return items[a].size > items[b].size; });

  std::vector<size_t> placed;  // by offset
  for (const size_t index : order) {
    const ArenaItem& item = items[index];
    const int64_t size = aligned(item.size.count);
    if (size == 0) continue;
    int64_t at = 0;
    for (const size_t other : placed) {
      const ArenaItem& neighbour = items[other];
      if (neighbour.last < item.first || item.last < neighbour.first) continue;
      const int64_t begin = layout.offsets[other].count;
      if (at + size <= begin) break;
      at = std::max(at, begin + aligned(neighbour.size.count));
    }
    layout.offsets[index] = {at};
    layout.size = std::max(layout.size, Bytes{at + size});
    const auto position = std::upper_bound(placed.begin(), placed.end(), index, [&](size_t a, size_t b) {
      return layout.offsets[a] < layout.offsets[b];
    });
    placed.insert(position, index);
  }
  return layout;
}

}  // namespace headrace::runtime
