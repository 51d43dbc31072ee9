// RowIo: rows of a tensor, of one or more dims, as contiguous tiles: in place where they lie so, else by way
// of a buffer.
#pragma once

#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

class RowIo {
 public:
  RowIo() = default;
  // Rows of the dims `shape` with `strides`, in row-major order of `shape`.
  RowIo(DType dtype, const Sizes& shape, const Sizes& strides) : dtype_(dtype) {
    const Sizes order[] = {row_major_strides(shape), strides};
    nest_ = make_nest(shape, order);
    nest_.strides.erase(nest_.strides.begin());
    length_ = element_count(shape);
  }

  int64_t length() const { return length_; }
  // Whether a row is used where it lies.
  bool direct() const {
    return is_lane(dtype_) && nest_.rank() == 1 && (nest_.strides[0][0] == 1 || length_ <= 1);
  }

  // The row at `from`: itself where direct(), else widened into `buffer`.
  template <class T>
  const T* read(const std::byte* from, T* buffer) const {
    if (direct()) return reinterpret_cast<const T*>(from);
    const TileLoad load = tile_functions().load[static_cast<size_t>(dtype_)];
    for (int64_t row = 0; row < nest_.outer(); ++row) {
      load(from + nest_.offset(0, row) * dtype_size(dtype_), nest_.strides[0].back(),
           buffer + row * nest_.inner(), nest_.inner());
    }
    return buffer;
  }
  // Where to compute the row that belongs at `to`; finish with write().
  template <class T>
  T* target(std::byte* to, T* buffer) const {
    return direct() ? reinterpret_cast<T*>(to) : buffer;
  }
  template <class T>
  void write(const T* row_at, std::byte* to) const {
    if (direct()) return;
    const TileStore store = tile_functions().store[static_cast<size_t>(dtype_)];
    for (int64_t row = 0; row < nest_.outer(); ++row) {
      store(row_at + row * nest_.inner(), to + nest_.offset(0, row) * dtype_size(dtype_),
            nest_.strides[0].back(), nest_.inner());
    }
  }

 private:
  DType dtype_ = DType::kF32;
  LoopNest nest_;
  int64_t length_ = 0;
};

}  // namespace headrace::cpu
