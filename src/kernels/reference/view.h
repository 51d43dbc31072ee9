// Views and arrays: the operands of the reference kernels.
//
// A View is strided memory of any dtype. An Array is its numbers in row-major order, widened: double for
// floats, int64 for integers and bool (0 or 1). Kernels load views into arrays, compute, and store an array
// into a view, which rounds to its dtype.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <headrace/bytes.h>
#include <headrace/dtype.h>
#include <headrace/status.h>
#include "core/shape.h"

namespace headrace::reference {

struct View {
  DType dtype = DType::kF32;
  Sizes shape;
  Sizes strides;  // in elements
  std::byte* data = nullptr;

  int64_t elements() const { return element_count(std::span<const int64_t>(shape)); }
  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
};

View dense_view(DType dtype, Sizes shape, std::byte* data);
bool is_row_major(const View& view);
View permute(const View& view, std::span<const int64_t> perm);  // REQUIRES: a permutation of the axes

struct Array {
  DType dtype = DType::kF32;
  Sizes shape;
  std::span<double> floats;     // where dtype is a float
  std::span<int64_t> integers;  // else

  int64_t elements() const { return element_count(std::span<const int64_t>(shape)); }
  template <class T>
  std::span<T> get() const {
    if constexpr (std::is_same_v<T, double>)
      return floats;
    else
      return integers;
  }
};

// Memory for arrays, handed out in order; the step's workspace.
class Scratch {
 public:
  Scratch(std::byte* memory, Bytes size) : next_(memory), left_(size) {}
  // Zeros. Errors: kInternal where the workspace was sized too small.
  Result<Array> make(DType dtype, Sizes shape);
  Result<Array> load(const View& view);
  // What make takes for that many elements.
  static Bytes need(int64_t elements);

 private:
  std::byte* next_;
  Bytes left_;
};

// `value` as the dtype stores it, widened again.
double round_float(DType dtype, double value);
int64_t wrap_integer(DType dtype, int64_t value);

// REQUIRES: equal shapes; a float array for a float view, else an integer one.
void store_rounded(const Array& array, const View& to);
// Copies elements in row-major order. REQUIRES: one dtype, equal counts of elements.
void copy_elements(const View& from, const View& to);

// Walks the elements of `shape` in row-major order: f(offset), in elements by `strides`.
template <class F>
void for_each_offset(const Sizes& shape, const Sizes& strides, F f) {
  const size_t rank = shape.size();
  if (element_count(std::span<const int64_t>(shape)) == 0) return;
  if (rank == 0) return f(int64_t{0});
  Sizes index(rank, 0);
  int64_t offset = 0;
  for (;;) {
    for (int64_t i = 0; i < shape[rank - 1]; ++i) f(offset + i * strides[rank - 1]);
    size_t axis = rank - 1;
    for (;;) {
      if (axis == 0) return;
      --axis;
      offset += strides[axis];
      if (++index[axis] < shape[axis]) break;
      offset -= index[axis] * strides[axis];
      index[axis] = 0;
    }
  }
}

// Strides that read an array of `shape` as if it were broadcast to `to`. REQUIRES: it can be.
Sizes broadcast_strides(const Sizes& shape, const Sizes& to);
bool can_broadcast(const Sizes& shape, const Sizes& to);

}  // namespace headrace::reference
