// BoxedTensor: how boxes of a tensor are copied to shared memory by themselves
// (lowering/cuda/device/boxes.cuh). Knows no driver.
#pragma once

#include <array>
#include <cstdint>

#include <headrace/dtype.h>

namespace headrace::cuda {

// The first dimension is the fastest, and dense.
struct BoxedTensor {
  static constexpr int kRank = 5;
  DType dtype = DType::kF16;
  int rank = 0;
  std::array<int64_t, kRank> sizes = {};    // elements past them read as zeros
  std::array<int64_t, kRank> strides = {};  // in bytes
  std::array<int64_t, kRank> box = {};
};

inline constexpr int64_t kBoxDepth = 64;  // elements of 16 bits: rows of a box have 128 bytes
inline constexpr int64_t kBoxGroup = 32;  // rows of a weight that change places in a box

// Of [rows, depth], its rows `stride` elements apart: boxes of `box` rows.
inline BoxedTensor boxed_rows(DType dtype, int64_t rows, int64_t depth, int64_t stride, int64_t box) {
  const int64_t size = dtype_size(dtype);
  return {dtype, 2, {depth, rows}, {size, stride * size}, {kBoxDepth, box}};
}

// Of a weight [columns, depth], boxes of `box` of its rows, of which row 32 q + 8 j + 2 t + i is the weight's
// row 32 q + 8 t + 2 j + i. REQUIRES: columns and box are multiples of kBoxGroup.
inline BoxedTensor boxed_weight(DType dtype, int64_t columns, int64_t depth, int64_t stride, int64_t box) {
  const int64_t size = dtype_size(dtype), row = stride * size;
  return {dtype,
          5,
          {depth, 2, 4, 4, columns / kBoxGroup},
          {size, row, 8 * row, 2 * row, kBoxGroup * row},
          {kBoxDepth, 2, 4, 4, box / kBoxGroup}};
}

}  // namespace headrace::cuda
