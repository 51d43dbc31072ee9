#include "kernels/cuda/product_launch.h"

#include <algorithm>
#include <limits>

#include "kernels/cuda/matmul_problem.h"
#include "kernels/cuda/product_step.h"

namespace headrace::cuda {
namespace {

constexpr int64_t kRun = 8;  // elements of 16 bytes

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

bool has_aligned_rows(const MatmulProblem& problem) {
  const LtMatrix &weight = problem.matrices[kFirst], &rows = problem.matrices[kSecond];
  if (!problem.swapped || problem.zeros || problem.batch != 1 || problem.calls() != 1) return false;
  if (!weight.transposed || rows.transposed || problem.m % kRun != 0 || problem.k % kRun != 0) return false;
  for (const LtMatrix& matrix : problem.matrices)
    if (matrix.ld % kRun != 0) return false;
  return true;
}

bool fits_index(int64_t bits, int64_t rows, int64_t stride) {
  int64_t end = 0;
  return !__builtin_mul_overflow(rows, stride, &end) &&
         end < (bits == 64 ? int64_t{1} << 62 : int64_t{1} << 31);
}

}  // namespace

std::optional<ProductTile> product_tile(const AttributeMap& attributes) {
  const std::vector<int64_t> sizes = attributes.integers(kTile);
  if (sizes.size() != 5) return std::nullopt;
  for (const int64_t size : sizes)
    if (size < 1 || size > (int64_t{1} << 20)) return std::nullopt;
  constexpr int64_t kMostThreads = 1024, kMostSplit = 8;  // of a block; of a cluster that every device takes
  if (sizes[2] > kMostThreads || sizes[3] > kMostSplit) return std::nullopt;
  const bool mapped = attributes.flag(kMapped);
  constexpr int64_t kLongestBox = 256;
  if (mapped &&
      (sizes[0] > kLongestBox || sizes[1] > kLongestBox || sizes[1] % kBoxGroup != 0 || sizes[3] != 1))
    return std::nullopt;
  return ProductTile{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], mapped};
}

std::optional<ProductLaunch> plan_product(const MatmulForm& form, const ProductTile& tile, int64_t index_bits,
                                          int multiprocessors) {
  const std::optional<MatmulProblem> problem = MatmulProblem::make(form, false);
  if (!is_half(form.dtype) || !problem || !has_aligned_rows(*problem)) return std::nullopt;
  const int64_t rows = problem->n, columns = problem->m;
  ProductLaunch launch = {};
  launch.operands = {form.a, form.b, form.bias, form.residual, form.out};
  launch.arguments.head.sizes[0] = rows;
  launch.arguments.head.sizes[1] = columns;
  launch.arguments.head.numbers[0] = problem->k;
  const std::array strides = {problem->matrices[kSecond].ld, problem->matrices[kFirst].ld, int64_t{0},
                              problem->matrices[kAddend].ld, problem->matrices[kResult].ld};
  for (size_t k = 0; k < kProductOperands; ++k) {
    launch.arguments.tensors[k].strides[0] = strides[k];
    launch.arguments.tensors[k].strides[1] = 1;
    const bool is_weight = k == 1;
    if (!fits_index(index_bits, is_weight ? columns : rows, strides[k])) return std::nullopt;
  }
  const auto count = [](int64_t size, int64_t side) { return (size + side - 1) / side; };
  const int64_t tiles = count(rows, tile.rows) * count(columns, tile.columns);
  if (tiles > std::numeric_limits<int32_t>::max() / tile.split) return std::nullopt;
  launch.blocks = static_cast<unsigned>(tiles * tile.split);
  if (tile.mapped) {
    if (columns % kBoxGroup != 0 || rows > std::numeric_limits<int32_t>::max() - tile.rows)
      return std::nullopt;
    launch.boxes = {boxed_rows(form.dtype, rows, problem->k, strides[0], tile.rows),
                    boxed_weight(form.dtype, columns, problem->k, strides[1], tile.columns)};
    launch.blocks = std::min(launch.blocks, static_cast<unsigned>(multiprocessors));
  }
  return launch;
}

}  // namespace headrace::cuda
