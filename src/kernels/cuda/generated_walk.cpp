#include "kernels/cuda/generated_walk.h"

#include <algorithm>
#include <numeric>

namespace headrace::cuda {

void GeneratedWalk::keep(const std::vector<size_t>& order) {
  GeneratedWalk kept;
  kept.strides.resize(strides.size());
  for (const size_t d : order) {
    kept.sizes.push_back(sizes[d]);
    for (size_t k = 0; k < strides.size(); ++k) kept.strides[k].push_back(strides[k][d]);
  }
  *this = std::move(kept);
}

void GeneratedWalk::sort_by(size_t operand) {
  std::vector<size_t> order;
  for (size_t d = 0; d < rank(); ++d)
    if (sizes[d] != 1) order.push_back(d);
  const Sizes& by = strides[operand];
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return by[a] > by[b]; });
  keep(order);
}

bool GeneratedWalk::joins(size_t d) const {
  return std::all_of(strides.begin(), strides.end(),
                     [&](const Sizes& operand) { return operand[d] == operand[d + 1] * sizes[d + 1]; });
}

size_t GeneratedWalk::join(size_t begin, size_t end) {
  std::vector<size_t> order(rank());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto first = order.begin() + static_cast<ptrdiff_t>(begin),
             last = order.begin() + static_cast<ptrdiff_t>(end);
  const auto kept = std::remove_if(first, last, [&](size_t d) { return sizes[d] == 1; });
  size_t count = static_cast<size_t>(kept - first);
  order.erase(kept, last);
  keep(order);
  for (size_t d = begin + count; d-- > begin + 1;) {
    if (!joins(d - 1)) continue;
    sizes[d - 1] *= sizes[d];
    sizes.erase(sizes.begin() + static_cast<ptrdiff_t>(d));
    for (Sizes& operand : strides) operand.erase(operand.begin() + static_cast<ptrdiff_t>(d) - 1);
    --count;
  }
  return count;
}

}  // namespace headrace::cuda
