// What a product with a weight by a kernel of ours is launched with, for one set of shapes. Knows no driver.
#pragma once

#include <array>
#include <optional>

#include "kernels/cuda/boxed_tensor.h"
#include "kernels/cuda/generated_args.h"
#include "kernels/matmul_form.h"

namespace headrace::cuda {

// a, b, bias, residual and y, as the kernel has them.
inline constexpr size_t kProductOperands = 5;

struct ProductTile {
  int64_t rows = 0, columns = 0;
  int64_t threads = 0;  // of a block
  int64_t split = 0;    // blocks that share a tile, a cluster
  int64_t shared = 0;   // bytes of a block's shared memory
  bool mapped = false;  // boxes of a and b are copied; blocks walk the tiles
};
// The attributes `tile` and `mapped` (product_step.h). nullopt where they describe no launch.
std::optional<ProductTile> product_tile(const AttributeMap& attributes);

struct ProductLaunch {
  GeneratedArgs<kProductOperands> arguments;  // without addresses
  std::array<std::optional<StepTensor>, kProductOperands> operands;
  unsigned blocks = 0;               // one a tile and part of it; `mapped` ones stay and walk them
  std::array<BoxedTensor, 2> boxes;  // of a and b, where the tile is `mapped`
};
// nullopt where the sizes or strides are not those that the kernel is for: one product, all rows on 16 bytes,
// the depth as the fastest dimension of both operands, offsets that fit `index_bits`; for mapped ones whole
// groups of columns.
std::optional<ProductLaunch> plan_product(const MatmulForm& form, const ProductTile& tile, int64_t index_bits,
                                          int multiprocessors);

}  // namespace headrace::cuda
