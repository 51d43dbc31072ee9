// CopyLoop and FillLoop: strided copies and fills of elements of any dtype.
#pragma once

#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/step_kernel.h"

namespace headrace::cpu {

// Copies `shape` elements of `size` bytes each. Strides in elements.
class CopyLoop {
 public:
  CopyLoop() = default;
  CopyLoop(int64_t size, const Sizes& shape, const Sizes& to_strides, const Sizes& from_strides, int threads);
  // The two may be the same memory in the same layout; else they must not overlap.
  void run(std::byte* to, const std::byte* from) const;

 private:
  void copy_rows(std::byte* to, const std::byte* from, int64_t begin, int64_t end) const;
  void copy_blocks(std::byte* to, const std::byte* from, int64_t begin, int64_t end) const;

  LoopNest nest_;  // of to, from
  int64_t size_ = 1, elements_ = 0;
  bool same_layout_ = false;
  bool transposes_ = false;  // the last dim lies together in `to`, the one before in `from`
  int64_t row_blocks_ = 1, column_blocks_ = 1;
  int threads_ = 1;
};

// Writes one value to `shape` elements.
class FillLoop {
 public:
  FillLoop() = default;
  FillLoop(int64_t size, const Sizes& shape, const Sizes& strides, int threads);
  void run(std::byte* to, const std::byte* value) const;

 private:
  LoopNest nest_;
  int64_t size_ = 1, elements_ = 0;
  int threads_ = 1;
};

// Copies `n` elements of `size` bytes between strided runs.
void copy_run(int64_t size, std::byte* to, int64_t to_stride, const std::byte* from, int64_t from_stride,
              int64_t n);

// Calls f(T()) with an unsigned T of `size` bytes: 1, 2, 4 or 8.
template <class F>
void with_unsigned(int64_t size, const F& f) {
  switch (size) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}

}  // namespace headrace::cpu
