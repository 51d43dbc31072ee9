// LaneIo: short runs of elements as T (float, double, int64_t), bools as 0 and 1.
#pragma once

#include <type_traits>

#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

inline constexpr int64_t kLaneBlock = 256;  // the longest run

template <class T>
class LaneIo {
 public:
  // `truth`: elements are read as whether they are not 0. REQUIRES: T is the dtypes' lane, or int64_t for
  // bools.
  LaneIo(DType in, DType out, bool truth = false) : in_(in), out_(out), truth_(truth || in == DType::kBool) {}

  // Whether elements in memory are Ts.
  bool direct() const { return !truth_ && is_lane(in_); }
  void load(const std::byte* from, int64_t stride, T* tile, int64_t n) const {
    const TileFunctions& tiles = tile_functions();
    const TileLoad load = tiles.load[static_cast<size_t>(in_)];
    if (!truth_) return load(from, stride, tile, n);
    alignas(64) std::byte wide[kLaneBlock * 8];
    uint8_t truth[kLaneBlock];
    load(from, stride, wide, n);
    const void* const elements[] = {wide};
    const void* const truths[] = {truth};
    tiles.cast[static_cast<size_t>(lane_of(in_))][static_cast<size_t>(Lane::kBool)](elements, truth, n);
    tiles.cast[static_cast<size_t>(Lane::kBool)][static_cast<size_t>(Lane::kInt)](truths, tile, n);
  }
  void store(const T* tile, std::byte* to, int64_t stride, int64_t n) const {
    const TileStore store = tile_functions().store[static_cast<size_t>(out_)];
    if (out_ != DType::kBool) return store(tile, to, stride, n);
    uint8_t truth[kLaneBlock];
    for (int64_t i = 0; i < n; ++i) truth[i] = tile[i] != T(0);
    store(truth, to, stride, n);
  }

 private:
  DType in_, out_;
  bool truth_;
};

}  // namespace headrace::cpu
