#include "kernels/cuda/lt_algorithm.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace headrace::cuda {
namespace {

// Settings are of sizes that the library knows, so that neither call can fail.
template <class T>
T setting(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute) {
  T value = {};
  size_t written = 0;
  (void)cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof(value), &written);
  return value;
}
template <class T>
void set(cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute, const T& value) {
  (void)cublasLtMatmulAlgoConfigSetAttribute(&algorithm, attribute, &value, sizeof(value));
}

}  // namespace

std::string choice_text(const cublasLtMatmulAlgo_t& algorithm) {
  std::string text;
  for (const uint64_t word : algorithm.data) text += fmt::format("{}{:x}", text.empty() ? "" : " ", word);
  return text;
}

std::optional<cublasLtMatmulAlgo_t> parse_choice(std::string_view text) {
  cublasLtMatmulAlgo_t algorithm = {};
  for (uint64_t& word : algorithm.data) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), word, 16);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (text.starts_with(' ')) text.remove_prefix(1);
  }
  return text.empty() ? std::optional(algorithm) : std::nullopt;
}

bool is_same(const cublasLtMatmulAlgo_t& a, const cublasLtMatmulAlgo_t& b) {
  return std::equal(std::begin(a.data), std::end(a.data), std::begin(b.data));
}

LtShape shape_of(const cublasLtMatmulAlgo_t& algorithm) {
  return {setting<uint16_t>(algorithm, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID),
          setting<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION)};
}

uint32_t custom_options(const cublasLtMatmulAlgo_t& algorithm) {
  uint32_t most = 0;
  size_t written = 0;
  (void)cublasLtMatmulAlgoCapGetAttribute(&algorithm, CUBLASLT_ALGO_CAP_CUSTOM_OPTION_MAX, &most,
                                          sizeof(most), &written);
  return most;
}

cublasLtMatmulAlgo_t with_shape(cublasLtMatmulAlgo_t algorithm, const LtShape& shape) {
  set(algorithm, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, shape.cluster);
  set(algorithm, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, shape.custom);
  return algorithm;
}

cublasLtMatmulAlgo_t with_tiling(cublasLtMatmulAlgo_t algorithm, const LtTiling& tiling) {
  set(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID, static_cast<uint32_t>(tiling.tile));
  set(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, static_cast<int32_t>(tiling.split));
  set(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
      static_cast<uint32_t>(tiling.split > 1 ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                                             : CUBLASLT_REDUCTION_SCHEME_NONE));
  return algorithm;
}

}  // namespace headrace::cuda
