// Tile functions: the vectorised inner loops, over short runs of elements in L1.
//
// A tile holds elements in the type that they are computed in, its lane. The functions are compiled once for
// each instruction set; tile_functions() gives those for this machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include <headrace/dtype.h>
#include "core/pointwise.h"

namespace headrace::cpu {

// f16, bf16 and f32 as float, f64 as double, integers as int64_t, bool as uint8_t (0: false).
enum class Lane : uint8_t { kFloat, kDouble, kInt, kBool };
inline constexpr int kLanes = 4;

constexpr Lane lane_of(DType dtype) {
  switch (dtype) {
    case DType::kF16:
    case DType::kBF16:
    case DType::kF32: return Lane::kFloat;
    case DType::kF64: return Lane::kDouble;
    case DType::kBool: return Lane::kBool;
    default: return Lane::kInt;
  }
}
constexpr int64_t lane_size(Lane lane) { return lane == Lane::kFloat ? 4 : lane == Lane::kBool ? 1 : 8; }
// Whether elements lie in memory as they do in a tile.
constexpr bool is_lane(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kI64 || dtype == DType::kBool;
}

// out[i] = f(in[0][i], …). `out` may be one of `in`.
using TileFunction = void (*)(const void* const* in, void* out, int64_t n);
// Widens n elements, `stride` elements apart, to a tile; 0 repeats one.
using TileLoad = void (*)(const std::byte* from, int64_t stride, void* tile, int64_t n);
// Rounds a tile (integers wrap) to elements `stride` apart.
using TileStore = void (*)(const void* tile, std::byte* to, int64_t stride, int64_t n);

// What sums of T are kept in.
template <class T>
struct AccumulatorOf {
  using Type = double;
};
template <>
struct AccumulatorOf<int64_t> {
  using Type = int64_t;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::Type;

enum class Fold : uint8_t { kSum, kProduct, kMax, kMin };  // NaN wins in max and min
inline constexpr int kFolds = 4;

template <class T>  // float, double, int64_t
struct FoldFunctions {
  // The fold of a row. The order of additions depends on n alone.
  Accumulator<T> (*row[kFolds])(const T* x, int64_t n);
  // acc[i] = acc[i] folded with x[i].
  void (*into[kFolds])(const T* x, Accumulator<T>* acc, int64_t n);
};

template <class T>  // float, double
struct RowFunctions {
  double (*square_sum)(const T* x, T mean, int64_t n);  // of (x - mean)^2
  void (*exp)(const T* x, T shift, T* y, int64_t n);    // y = exp(x - shift)
  double (*exp_sum)(const T* x, T shift, int64_t n);    // of exp(x - shift)
  // y = (x - shift) * factor + bias
  void (*scale)(const T* x, T shift, T factor, T bias, T* y, int64_t n);
  // y = (x - shift) * factor * scale[i] + bias[i]; either may be nullptr.
  void (*affine)(const T* x, T shift, T factor, const T* scale, const T* bias, T* y, int64_t n);
  // The two halves of rotary: low' = low * cos - high * sin, high' = high * cos' + low * sin'.
  void (*rotate)(const T* x, const T* cos, const T* sin, T* y, int64_t half);
  void (*rotate_pairs)(const T* x, const T* cos, const T* sin, T* y, int64_t half);
};

struct TileFunctions {
  // By function and lane of the operands (of a and b in where); nullptr where there is none. Integer divisors
  // must not be 0.
  TileFunction function[kPointwiseCount][kLanes] = {};
  TileFunction cast[kLanes][kLanes] = {};  // [from][to]
  TileFunction narrow[kDTypeCount] = {};   // rounds or wraps a tile to a dtype; nullptr where nothing is lost
  TileLoad load[kDTypeCount] = {};
  TileStore store[kDTypeCount] = {};
  FoldFunctions<float> fold_float = {};
  FoldFunctions<double> fold_double = {};
  FoldFunctions<int64_t> fold_int = {};
  RowFunctions<float> row_float = {};
  RowFunctions<double> row_double = {};

  template <class T>
  const FoldFunctions<T>& fold() const {
    if constexpr (sizeof(T) == 4)
      return fold_float;
    else if constexpr (T(0.5) != T(0))
      return fold_double;
    else
      return fold_int;
  }
  template <class T>
  const RowFunctions<T>& row() const {
    if constexpr (sizeof(T) == 4)
      return row_float;
    else
      return row_double;
  }
};

// Those for the best instruction set of this machine.
const TileFunctions& tile_functions();
// By name ("avx512", "avx2", "baseline"); nullptr where this machine lacks it. For tests.
const TileFunctions* tile_functions_for(const char* isa);

}  // namespace headrace::cpu
