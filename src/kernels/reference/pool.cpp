// Pools, computed on [N, spatial.., C] whatever the layout of their operands.
#include <cmath>
#include <limits>

#include "kernels/reference/window.h"

namespace headrace::reference {

namespace {

struct Pool {
  View y;
  Array in, out;
  Sizes in_spatial, out_spatial;
  int64_t in_cells = 0, out_cells = 0, channels = 0;

  template <class T = double>
  T& from(int64_t n, int64_t cell, int64_t c) const {
    return in.get<T>()[static_cast<size_t>((n * in_cells + cell) * channels + c)];
  }
  template <class T = double>
  T& to(int64_t n, int64_t cell, int64_t c) const {
    return out.get<T>()[static_cast<size_t>((n * out_cells + cell) * channels + c)];
  }
};

Result<Pool> read_pool(const Call& call, bool floats_only = true) {
  const View* input = call.input(0);
  HR_TRY(call.expect(input && input->rank() >= 3 && call.outputs[0].rank() == input->rank(),
                     "it needs an input and a result of rank 3 at least"));
  HR_TRY(call.expect(input->dtype == call.outputs[0].dtype, "the result is of another dtype"));
  HR_TRY(call.expect(is_float(input->dtype) || !floats_only, "it pools floats only"));
  const auto order = channels_last_order(input->rank(), call.attributes.flag("channels_last"));
  Pool pool;
  const View x = permute(*input, order);
  pool.y = permute(call.outputs[0], order);
  HR_TRY(call.expect(x.shape[0] == pool.y.shape[0] && x.shape.back() == pool.y.shape.back(),
                     "input and result differ in batch or channels"));
  HR_ASSIGN(pool.in, call.scratch.load(x));
  HR_ASSIGN(pool.out, call.scratch.make(x.dtype, pool.y.shape));
  pool.in_spatial.assign(x.shape.begin() + 1, x.shape.end() - 1);
  pool.out_spatial.assign(pool.y.shape.begin() + 1, pool.y.shape.end() - 1);
  pool.in_cells = element_count(std::span<const int64_t>(pool.in_spatial));
  pool.out_cells = element_count(std::span<const int64_t>(pool.out_spatial));
  pool.channels = x.shape.back();
  return pool;
}

Result<Window> read_window(const Call& call, const Pool& pool) {
  Sizes kernel = call.attributes.integers("kernel");
  HR_TRY(call.expect(kernel.size() == pool.in_spatial.size(), "kernel needs one value a spatial dimension"));
  return Window::read(call, std::move(kernel));
}

template <class T>
void take_most(const Pool& pool, const Window& window, T least) {
  for (T& value : pool.out.get<T>()) value = least;
  int64_t to = 0;
  for_each_index(pool.out_spatial, [&](const Sizes& at) {
    for_each_index(window.kernel, [&](const Sizes& cell) {
      const int64_t from = cell_position(window, at, cell, pool.in_spatial);
      if (from < 0) return;
      for (int64_t n = 0; n < pool.y.shape[0]; ++n)
        for (int64_t c = 0; c < pool.channels; ++c) {
          const T value = pool.from<T>(n, from, c);
          T& most = pool.to<T>(n, to, c);
          if (value > most || value != value) most = value;  // NaN is the most
        }
    });
    ++to;
  });
}

Status max_pool(const Call& call) {
  HR_ASSIGN(const Pool pool, read_pool(call, false));
  HR_ASSIGN(const Window window, read_window(call, pool));
  const DType dtype = pool.in.dtype;
  if (is_float(dtype)) {
    take_most<double>(pool, window, -std::numeric_limits<double>::infinity());
  } else {
    const bool has_sign = dtype != DType::kU8 && dtype != DType::kBool;
    const auto bits = 64 - 8 * dtype_size(dtype);
    take_most<int64_t>(pool, window, has_sign ? std::numeric_limits<int64_t>::min() >> bits : 0);
  }
  store_rounded(pool.out, pool.y);
  return {};
}

// Cells of the window at `at` that lie inside the input or, where padding counts, inside its padding.
int64_t counted_cells(const Window& w, const Sizes& at, const Sizes& spatial, bool count_padding) {
  int64_t count = 1;
  for (size_t i = 0; i < spatial.size(); ++i) {
    const int64_t begin = at[i] * w.stride[i] - w.pad_low[i], end = begin + w.kernel[i];
    const int64_t least = count_padding ? -w.pad_low[i] : 0;
    const int64_t most = count_padding ? spatial[i] + w.pad_high[i] : spatial[i];
    count *= std::max<int64_t>(0, std::min(end, most) - std::max(begin, least));
  }
  return count;
}

Status avg_pool(const Call& call) {
  HR_ASSIGN(const Pool pool, read_pool(call));
  HR_ASSIGN(const Window window, read_window(call, pool));
  const bool count_padding = call.attributes.flag("count_padding");
  const int64_t divisor = call.attributes.integer("divisor", 0);
  int64_t to = 0;
  for_each_index(pool.out_spatial, [&](const Sizes& at) {
    const int64_t count = divisor ? divisor : counted_cells(window, at, pool.in_spatial, count_padding);
    for_each_index(window.kernel, [&](const Sizes& cell) {
      const int64_t from = cell_position(window, at, cell, pool.in_spatial);
      if (from < 0) return;
      for (int64_t n = 0; n < pool.y.shape[0]; ++n)
        for (int64_t c = 0; c < pool.channels; ++c) pool.to(n, to, c) += pool.from(n, from, c);
    });
    for (int64_t n = 0; n < pool.y.shape[0]; ++n)
      for (int64_t c = 0; c < pool.channels; ++c) pool.to(n, to, c) /= static_cast<double>(count);
    ++to;
  });
  store_rounded(pool.out, pool.y);
  return {};
}

Status adaptive_avg_pool(const Call& call) {
  HR_ASSIGN(const Pool pool, read_pool(call));
  HR_TRY(call.expect(call.attributes.integers("output") == pool.out_spatial,
                     "the result's sizes are not `output`"));
  const size_t rank = pool.in_spatial.size();
  int64_t to = 0;
  for_each_index(pool.out_spatial, [&](const Sizes& at) {
    Sizes begin(rank), size(rank);
    for (size_t i = 0; i < rank; ++i) {
      const int64_t in = pool.in_spatial[i], out = pool.out_spatial[i];
      begin[i] = at[i] * in / out;
      size[i] = ((at[i] + 1) * in + out - 1) / out - begin[i];
    }
    const auto count = static_cast<double>(element_count(std::span<const int64_t>(size)));
    for_each_index(size, [&](const Sizes& cell) {
      int64_t from = 0;
      for (size_t i = 0; i < rank; ++i) from = from * pool.in_spatial[i] + begin[i] + cell[i];
      for (int64_t n = 0; n < pool.y.shape[0]; ++n)
        for (int64_t c = 0; c < pool.channels; ++c) pool.to(n, to, c) += pool.from(n, from, c) / count;
    });
    ++to;
  });
  store_rounded(pool.out, pool.y);
  return {};
}

constexpr Op kOps[] = {{"max_pool", 1, 1, 1, max_pool},
                       {"avg_pool", 1, 1, 1, avg_pool},
                       {"adaptive_avg_pool", 1, 1, 1, adaptive_avg_pool}};

}  // namespace

std::span<const Op> pool_ops() { return kOps; }

}  // namespace headrace::reference
