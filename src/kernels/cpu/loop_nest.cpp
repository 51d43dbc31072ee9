#include "kernels/cpu/loop_nest.h"

#include <numeric>

namespace headrace::cpu {

int64_t LoopNest::outer(size_t dims) const {
  int64_t count = 1;
  for (size_t d = 0; d + dims < sizes.size(); ++d) count *= sizes[d];
  return count;
}

LoopNest make_nest(const Sizes& shape, std::span<const Sizes> strides) {
  std::vector<size_t> order;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != 1) order.push_back(d);
  }
  if (!strides.empty()) {
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return strides[0][a] > strides[0][b]; });
  }
  LoopNest nest;
  nest.strides.resize(strides.size());
  for (const size_t d : order) {
    const bool merges = !nest.sizes.empty() && [&] {
      for (size_t t = 0; t < strides.size(); ++t) {
        if (nest.strides[t].back() != strides[t][d] * shape[d]) return false;
      }
      return true;
    }();
    if (merges) {
      nest.sizes.back() *= shape[d];
    } else {
      nest.sizes.push_back(shape[d]);
    }
    for (size_t t = 0; t < strides.size(); ++t) {
      if (merges) nest.strides[t].pop_back();
      nest.strides[t].push_back(strides[t][d]);
    }
  }
  if (nest.sizes.empty()) {
    nest.sizes.push_back(1);
    for (Sizes& tensor : nest.strides) tensor.push_back(1);
  }
  return nest;
}

}  // namespace headrace::cpu
