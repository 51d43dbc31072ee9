#include "kernels/cpu/copy_loops.h"

#include <cstring>

namespace headrace::cpu {
namespace {

constexpr int64_t kBlock = 32;         // of a transposition, in elements each way
constexpr int64_t kSplit = 64 * 1024;  // bytes of a contiguous run that one thread takes at least
constexpr double kNsABytePerThread = 0.1;

// Splits one long run in two dims, so that threads can share it.
void split_run(LoopNest& nest, int64_t size) {
  const int64_t piece = std::max<int64_t>(kSplit / size, 1);
  if (nest.rank() != 1 || nest.inner() < 2 * piece || nest.inner() % piece != 0) return;
  nest.sizes = {nest.inner() / piece, piece};
  for (Sizes& strides : nest.strides) strides = {strides[0] * piece, strides[0]};
}

template <class T>
void transpose_block(T* to, int64_t to_step, const T* from, int64_t from_step, int64_t rows,
                     int64_t columns) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) to[r * to_step + c] = from[c * from_step + r];
  }
}

}  // namespace

void copy_run(int64_t size, std::byte* to, int64_t to_stride, const std::byte* from, int64_t from_stride,
              int64_t n) {
  if (to_stride == 1 && from_stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n * size));
    return;
  }
  with_unsigned(size, [&]<class T>(T) {
    auto* y = reinterpret_cast<T*>(to);
    const auto* x = reinterpret_cast<const T*>(from);
    if (from_stride == 0 && to_stride == 1) {
      std::fill_n(y, n, n > 0 ? *x : T());
    } else {
      for (int64_t i = 0; i < n; ++i) y[i * to_stride] = x[i * from_stride];
    }
  });
}

CopyLoop::CopyLoop(int64_t size, const Sizes& shape, const Sizes& to_strides, const Sizes& from_strides,
                   int threads)
    : size_(size), elements_(element_count(shape)), same_layout_(to_strides == from_strides) {
  const Sizes strides[] = {to_strides, from_strides};
  nest_ = make_nest(shape, strides);
  threads_ = worthwhile_threads(threads, static_cast<double>(elements_ * size) * kNsABytePerThread);
  if (threads_ > 1) split_run(nest_, size);
  const size_t last = nest_.rank() - 1;
  for (size_t d = 0; d < last; ++d) {
    if (nest_.strides[0][last] != 1 || nest_.strides[1][last] <= 1 || nest_.strides[1][d] != 1) continue;
    transposes_ = true;
    const auto move_before_last = [&](Sizes& sizes) {
      std::rotate(sizes.begin() + static_cast<ptrdiff_t>(d), sizes.begin() + static_cast<ptrdiff_t>(d) + 1,
                  sizes.end() - 1);
    };
    move_before_last(nest_.sizes);
    move_before_last(nest_.strides[0]);
    move_before_last(nest_.strides[1]);
    row_blocks_ = (nest_.sizes[last - 1] + kBlock - 1) / kBlock;
    column_blocks_ = (nest_.sizes[last] + kBlock - 1) / kBlock;
    break;
  }
}

void CopyLoop::run(std::byte* to, const std::byte* from) const {
  if (elements_ == 0 || (to == from && same_layout_)) return;
  const int64_t units = transposes_ ? nest_.outer(2) * row_blocks_ * column_blocks_ : nest_.outer();
  parallel_ranges(threads_, units, [&](int, int64_t begin, int64_t end) {
    transposes_ ? copy_blocks(to, from, begin, end) : copy_rows(to, from, begin, end);
  });
}

void CopyLoop::copy_rows(std::byte* to, const std::byte* from, int64_t begin, int64_t end) const {
  const bool stacked = nest_.rank() > 1;
  const int64_t rows = stacked ? nest_.sizes[nest_.rank() - 2] : 1;
  const int64_t to_step = stacked ? nest_.strides[0][nest_.rank() - 2] * size_ : 0;
  const int64_t from_step = stacked ? nest_.strides[1][nest_.rank() - 2] * size_ : 0;
  for (int64_t row = begin; row < end;) {
    std::byte* y = to + nest_.offset(0, row) * size_;
    const std::byte* x = from + nest_.offset(1, row) * size_;
    const int64_t stop = std::min(end, row - row % rows + rows);
    for (; row < stop; ++row, y += to_step, x += from_step)
      copy_run(size_, y, nest_.strides[0].back(), x, nest_.strides[1].back(), nest_.inner());
  }
}

void CopyLoop::copy_blocks(std::byte* to, const std::byte* from, int64_t begin, int64_t end) const {
  const size_t last = nest_.rank() - 1;
  const int64_t to_step = nest_.strides[0][last - 1], from_step = nest_.strides[1][last];
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t column = unit % column_blocks_ * kBlock, row = unit / column_blocks_ % row_blocks_ * kBlock;
    const int64_t outer = unit / (column_blocks_ * row_blocks_);
    const int64_t rows = std::min(kBlock, nest_.sizes[last - 1] - row);
    const int64_t columns = std::min(kBlock, nest_.sizes[last] - column);
    std::byte* y = to + (nest_.offset(0, outer, 2) + row * to_step + column) * size_;
    const std::byte* x = from + (nest_.offset(1, outer, 2) + column * from_step + row) * size_;
    with_unsigned(size_, [&]<class T>(T) {
      transpose_block(reinterpret_cast<T*>(y), to_step, reinterpret_cast<const T*>(x), from_step, rows,
                      columns);
    });
  }
}

FillLoop::FillLoop(int64_t size, const Sizes& shape, const Sizes& strides, int threads)
    : size_(size), elements_(element_count(shape)) {
  const Sizes all[] = {strides};
  nest_ = make_nest(shape, all);
  threads_ = worthwhile_threads(threads, static_cast<double>(elements_ * size) * kNsABytePerThread);
  if (threads_ > 1) split_run(nest_, size);
}

void FillLoop::run(std::byte* to, const std::byte* value) const {
  if (elements_ == 0) return;
  parallel_ranges(threads_, nest_.outer(), [&](int, int64_t begin, int64_t end) {
    with_unsigned(size_, [&]<class T>(T) {
      T element;
      std::memcpy(&element, value, sizeof(T));
      const int64_t stride = nest_.strides[0].back();
      for (int64_t row = begin; row < end; ++row) {
        T* y = reinterpret_cast<T*>(to) + nest_.offset(0, row);
        if (stride == 1) {
          std::fill_n(y, nest_.inner(), element);
        } else {
          for (int64_t i = 0; i < nest_.inner(); ++i) y[i * stride] = element;
        }
      }
    });
  });
}

}  // namespace headrace::cpu
