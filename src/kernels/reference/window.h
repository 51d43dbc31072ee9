// Windows that slide over the spatial dimensions of [N, spatial.., C]: what convolutions and pools share.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/reference/op.h"

namespace headrace::reference {

struct Window {
  Sizes kernel, stride, dilation, pad_low, pad_high;

  // Reads the attributes of a call for `spatial` dimensions. Errors: kCorrupt where one is not positive
  // (a padding: negative).
  static Result<Window> read(const Call& call, Sizes kernel);
};

// The axes of a view in the order N, spatial.., C; `channels_last` says that they are in it already.
std::vector<int64_t> channels_last_order(int64_t rank, bool channels_last);

// Calls f(index) for each index below `sizes`, in row-major order.
template <class F>
void for_each_index(const Sizes& sizes, F f) {
  if (element_count(std::span<const int64_t>(sizes)) == 0) return;
  Sizes index(sizes.size(), 0);
  for (;;) {
    f(static_cast<const Sizes&>(index));
    size_t axis = sizes.size();
    for (;;) {
      if (axis == 0) return;
      --axis;
      if (++index[axis] < sizes[axis]) break;
      index[axis] = 0;
    }
  }
}

// The position, in row-major order, of the cell at `window` under kernel cell `cell`; -1 in the padding.
inline int64_t cell_position(const Window& w, const Sizes& window, const Sizes& cell, const Sizes& spatial) {
  int64_t position = 0;
  for (size_t i = 0; i < spatial.size(); ++i) {
    const int64_t at = window[i] * w.stride[i] - w.pad_low[i] + cell[i] * w.dilation[i];
    if (at < 0 || at >= spatial[i]) return -1;
    position = position * spatial[i] + at;
  }
  return position;
}

}  // namespace headrace::reference
