#include "passes/reshape_groups.h"

#include <optional>
#include <span>
#include <utility>

namespace headrace::passes {
namespace {

// The next shortest runs of dims of `a` from i and of `b` from j that hold equally many elements.
std::optional<std::pair<size_t, size_t>> next_group(const Shape& a, size_t i, const Shape& b, size_t j) {
  for (size_t total = 2; total <= a.size() - i + b.size() - j; ++total) {
    for (size_t of_a = 1; of_a < total; ++of_a) {
      const size_t of_b = total - of_a;
      if (i + of_a > a.size() || j + of_b > b.size()) continue;
      if (element_count(std::span(a).subspan(i, of_a)) == element_count(std::span(b).subspan(j, of_b)))
        return std::pair{of_a, of_b};
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<ReshapeGroup> reshape_groups(const Shape& from, const Shape& to) {
  for (const Dim& dim : from)
    if (dim.is_constant() && dim.constant() == 0) return {};
  std::vector<ReshapeGroup> groups;
  size_t i = 0, j = 0;
  while (i < from.size() && j < to.size()) {
    const auto next = next_group(from, i, to, j);
    if (!next) return {};
    groups.push_back({i, next->first, j, next->second});
    i += next->first, j += next->second;
  }
  if (groups.empty()) return {};
  groups.back().from_count += from.size() - i;  // what is left are dims of size 1
  groups.back().to_count += to.size() - j;
  return groups;
}

}  // namespace headrace::passes
