// What a step "matmul" of f16 or bf16 may hold beside what cuBLASLt is asked for: kernels of ours for the
// whole of it (lowering/cuda/device/weight_products.cuh, wide_products.cuh), and one for the function that
// cuBLASLt does not end with. Both halves include this.
#pragma once

#include <string>

#include "core/attributes.h"

namespace headrace::cuda {

inline constexpr std::string_view kProducts = "products";  // int: how many kernels of ours
// Attributes of the i-th of them begin with this; beside them it has a generated step's function, module and
// index_bits, and `tile`.
inline std::string product_prefix(int64_t i) { return "product" + std::to_string(i) + "_"; }
// ints: rows and columns of a tile, threads of a block, blocks that share a tile, bytes of shared memory.
inline constexpr std::string_view kTile = "tile";
// bool: it copies boxes of a and b, and its blocks walk the tiles (lowering/cuda/device/wide_products.cuh).
inline constexpr std::string_view kMapped = "mapped";
// Of a generated step, of the result in place, that follows cuBLASLt's product: the epilogue.
inline constexpr std::string_view kEndingPrefix = "ending_";

// The attributes whose names begin with `prefix`, without it.
inline AttributeMap with_prefix(const AttributeMap& attributes, std::string_view prefix) {
  AttributeMap found;
  for (const auto& [name, value] : attributes.entries())
    if (name.starts_with(prefix)) found.set(std::string_view(name).substr(prefix.size()), value);
  return found;
}

}  // namespace headrace::cuda
