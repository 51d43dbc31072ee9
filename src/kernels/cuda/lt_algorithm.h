// An algorithm of cuBLASLt as text, and others like it.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/cuda/lt_tilings.h"

namespace headrace::cuda {

// Eight numbers in hexadecimal: what the library's algorithm is made of.
std::string choice_text(const cublasLtMatmulAlgo_t& algorithm);
std::optional<cublasLtMatmulAlgo_t> parse_choice(std::string_view text);
bool is_same(const cublasLtMatmulAlgo_t& a, const cublasLtMatmulAlgo_t& b);

// Settings that are not the tile's: a cluster of blocks, and what the library calls a custom option (on sm_90
// the order of tiles, and how warps share one).
struct LtShape {
  uint16_t cluster = 0;
  uint32_t custom = 0;
  bool operator==(const LtShape&) const = default;
};
LtShape shape_of(const cublasLtMatmulAlgo_t& algorithm);
uint32_t custom_options(const cublasLtMatmulAlgo_t& algorithm);  // the greatest

// The same algorithm with other settings, which need not exist: cublasLtMatmulAlgoCheck says.
cublasLtMatmulAlgo_t with_shape(cublasLtMatmulAlgo_t algorithm, const LtShape& shape);
// Parts of a split sum are added in f32.
cublasLtMatmulAlgo_t with_tiling(cublasLtMatmulAlgo_t algorithm, const LtTiling& tiling);

}  // namespace headrace::cuda
