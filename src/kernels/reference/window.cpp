#include "kernels/reference/window.h"

#include <algorithm>

namespace headrace::reference {

Result<Window> Window::read(const Call& call, Sizes kernel) {
  const size_t rank = kernel.size();
  const auto values = [&](std::string_view name, int64_t fallback) {
    Sizes given = call.attributes.integers(name);
    return given.empty() ? Sizes(rank, fallback) : given;
  };
  Window w{std::move(kernel), values("stride", 1), values("dilation", 1), values("pad_low", 0),
           values("pad_high", 0)};
  constexpr int64_t kMost = int64_t{1} << 31;  // keeps products far from overflow
  const auto within = [&](const Sizes& sizes, int64_t least) {
    return sizes.size() == rank &&
           std::all_of(sizes.begin(), sizes.end(), [&](int64_t x) { return x >= least && x < kMost; });
  };
  HR_TRY(
      call.expect(within(w.kernel, 0) && within(w.stride, 1) && within(w.dilation, 1) &&
                      within(w.pad_low, 0) && within(w.pad_high, 0),
                  "kernel, stride, dilation and padding need one value a spatial dimension, none negative"));
  return w;
}

std::vector<int64_t> channels_last_order(int64_t rank, bool channels_last) {
  std::vector<int64_t> order = {0};
  for (int64_t i = channels_last ? 1 : 2; i < rank; ++i) order.push_back(i);
  if (!channels_last) order.push_back(1);
  return order;
}

}  // namespace headrace::reference
