#include "kernels/cpu/staging.h"

namespace headrace::cpu {

namespace {
constexpr double kNsAnElement = 0.25;
}

Stage::Stage(DType dtype, const Sizes& shape, const Sizes& strides, DType block, int threads)
    : dtype_(dtype), block_(block), elements_(element_count(shape)) {
  const Sizes dense = row_major_strides(shape);
  threads_ = worthwhile_threads(threads, static_cast<double>(elements_) * kNsAnElement);
  if (dtype == block) {
    in_ = CopyLoop(dtype_size(dtype), shape, dense, strides, threads);
    out_ = CopyLoop(dtype_size(dtype), shape, strides, dense, threads);
  } else {
    nest_ = make_nest(shape, std::vector<Sizes>{dense, strides});
  }
}

template <class Body>
void Stage::for_each_piece(const Body& body) const {
  constexpr int64_t kPiece = 4096;
  if (elements_ == 0) return;
  const int64_t pieces = (nest_.inner() + kPiece - 1) / kPiece;
  parallel_ranges(threads_, nest_.outer() * pieces, [&](int, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t column = i % pieces * kPiece;
      const int64_t dense = nest_.offset(0, i / pieces) + column * nest_.strides[0].back();
      const int64_t strided = nest_.offset(1, i / pieces) + column * nest_.strides[1].back();
      body(dense * dtype_size(block_), strided * dtype_size(dtype_),
           std::min(kPiece, nest_.inner() - column));
    }
  });
}

void Stage::load(const std::byte* from, std::byte* block) const {
  if (dtype_ == block_) return in_.run(block, from);
  const TileLoad widen = tile_functions().load[static_cast<size_t>(dtype_)];
  for_each_piece([&](int64_t dense, int64_t strided, int64_t n) {
    widen(from + strided, nest_.strides[1].back(), block + dense, n);
  });
}

void Stage::store(const std::byte* block, std::byte* to) const {
  if (dtype_ == block_) return out_.run(to, block);
  const TileStore round = tile_functions().store[static_cast<size_t>(dtype_)];
  for_each_piece([&](int64_t dense, int64_t strided, int64_t n) {
    round(block + dense, to + strided, nest_.strides[1].back(), n);
  });
}

void BlockFunction::run(std::byte* block) const {
  constexpr int64_t kTile = 512;
  const Lane lane = lane_of(dtype_);
  const TileFunction function =
      tile_functions().function[static_cast<size_t>(function_)][static_cast<size_t>(lane)];
  if (function == nullptr || elements_ == 0) return;
  const TileLoad load = tile_functions().load[static_cast<size_t>(dtype_)];
  const TileStore store = tile_functions().store[static_cast<size_t>(dtype_)];
  const int64_t tiles = (elements_ + kTile - 1) / kTile;
  const int threads = worthwhile_threads(threads_, static_cast<double>(elements_));
  parallel_ranges(threads, tiles, [&](int, int64_t begin, int64_t end) {
    alignas(64) std::byte memory[kTile * 8 + 64];
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t n = std::min(kTile, elements_ - tile * kTile);
      std::byte* at = block + tile * kTile * dtype_size(dtype_);
      load(at, 1, memory, n);
      const void* const operands[] = {memory};
      function(operands, memory, n);
      store(memory, at, 1, n);
    }
  });
}

}  // namespace headrace::cpu
