// Stage: a strided tensor's copy in a dense row-major block, of another dtype if need be, and the way back.
//
// oneDNN's fast kernels take dense operands of few layouts and no f16; what lies otherwise passes through a
// block of the workspace.
#pragma once

#include "kernels/cpu/copy_loops.h"
#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

class Stage {
 public:
  Stage() = default;
  // The block has the sizes `shape`, in elements of `block`, which is `dtype` or f32. A stride of 0 repeats.
  Stage(DType dtype, const Sizes& shape, const Sizes& strides, DType block, int threads);

  Bytes size() const { return {elements_ * dtype_size(block_)}; }
  void load(const std::byte* from, std::byte* block) const;
  void store(const std::byte* block, std::byte* to) const;  // REQUIRES: no stride of 0

 private:
  template <class Body>
  void for_each_piece(const Body& body) const;  // body(byte in the block, byte in the tensor, elements)

  DType dtype_ = DType::kF32, block_ = DType::kF32;
  int64_t elements_ = 0;
  int threads_ = 1;
  CopyLoop in_, out_;  // where the dtypes are one
  LoopNest nest_;      // of block, tensor: where they differ
};

// Applies a unary function to n elements of a dense block, in place; in parallel.
class BlockFunction {
 public:
  BlockFunction() = default;
  BlockFunction(Pointwise function, DType dtype, int64_t elements, int threads)
      : function_(function), dtype_(dtype), elements_(elements), threads_(threads) {}
  void run(std::byte* block) const;

 private:
  Pointwise function_ = Pointwise::kRelu;
  DType dtype_ = DType::kF32;
  int64_t elements_ = 0;
  int threads_ = 1;
};

// Offsets of the pieces of a workspace, each at a line's start.
class WorkspacePlan {
 public:
  int64_t add(Bytes size) {
    const int64_t at = size_;
    size_ += (size.count + 63) / 64 * 64;
    return at;
  }
  Bytes size() const { return {size_}; }

 private:
  int64_t size_ = 0;
};

}  // namespace headrace::cpu
