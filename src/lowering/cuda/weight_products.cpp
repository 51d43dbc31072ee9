#include "lowering/cuda/weight_products.h"

#include <fmt/format.h>

#include "kernels/cuda/generated_step.h"
#include "kernels/cuda/library_support.h"
#include "kernels/cuda/product_step.h"
#include "lowering/cuda/pointwise_source.h"

namespace headrace::cuda {
namespace {

// Measured on an H200, the fastest of those tried for 128 rows by 768 to 3072 columns and as deep.
struct Tiling {
  int64_t rows, columns, warps_m, warps_n, warps_k, stages, split;
  int64_t threads() const { return 32 * warps_m * warps_n * warps_k; }
  int64_t shared() const { return stages * (rows + columns) * 64 * 2; }
};
constexpr Tiling kTilings[] = {
    {32, 32, 1, 1, 4, 8, 1},  {64, 32, 1, 1, 4, 8, 1}, {32, 64, 1, 1, 4, 8, 1},
    {32, 32, 1, 1, 4, 12, 2}, {32, 32, 1, 1, 4, 6, 4},
};
constexpr int64_t kFewRows = 512;           // with more, cuBLASLt's larger tiles win
constexpr int64_t kDeepFrom = 1536;         // for blocks to share a tile
constexpr int64_t kMostTraffic = 96 << 20;  // bytes that the smallest tiles read in all

bool is_weight(const PlanBuilder& builder, const ir::Node& node, TensorIndex tensor) {
  return tensor != kNone &&
         (node.input(1)->kind() == ir::ValueKind::kWeight || builder.is_build_time(*node.input(1)));
}

// Whether every row of the tensor's last dimension lies on 16 bytes.
bool has_aligned_rows(const PlanTensor& tensor) {
  const int64_t run = 16 / dtype_size(tensor.dtype);
  if (!is_multiple(tensor.offset, run)) return false;
  for (size_t d = 0; d + 1 < tensor.shape.size(); ++d)
    if (!is_multiple(tensor.strides[d], run)) return false;
  return true;
}

}  // namespace

void add_weight_products(StepWriter& writer, const ir::Node& node, const std::vector<TensorIndex>& inputs,
                         TensorIndex output, AttributeMap& attributes) {
  const PlanBuilder& builder = writer.builder();
  const PlanTensor& y = builder.at(output);
  if ((y.dtype != DType::kF16 && y.dtype != DType::kBF16) || !is_weight(builder, node, inputs[1])) return;
  const PlanTensor &a = builder.at(inputs[0]), &b = builder.at(inputs[1]);
  const Dim &columns = y.shape.back(), &depth = a.shape.back();
  if (b.shape.size() != 2 || !columns.is_constant() || !depth.is_constant()) return;
  if (columns.constant() % 8 != 0 || depth.constant() % 8 != 0 || !has_aligned_rows(a) ||
      !has_aligned_rows(y))
    return;
  const std::optional<int64_t> rows =
      writer.at_opt(element_count(std::span<const Dim>(y.shape).first(y.shape.size() - 1)));
  if (!rows || *rows < 1 || *rows > kFewRows) return;
  const int64_t tiles = ((*rows + 31) / 32) * ((columns.constant() + 31) / 32);
  if (tiles * 64 * depth.constant() * 2 > kMostTraffic) return;

  int64_t count = 0;
  for (const Tiling& tiling : kTilings) {
    if (tiling.split > 1 && (depth.constant() < kDeepFrom || writer.target().sm < 90)) continue;
    StepWriter::Step step;
    step.text.family = "product";
    step.text.declarations = epilogue_text("$_epilogue", node.attributes().text("epilogue"), y.dtype);
    step.text.threads = tiling.threads();
    step.text.waits = true;
    step.text.call = fmt::format("multiply_weight<{}, {}, {}, {}, {}, {}, {}, {}, $_epilogue, %>(args);",
                                 type_name(y.dtype), tiling.rows, tiling.columns, tiling.warps_m,
                                 tiling.warps_n, tiling.warps_k, tiling.stages, tiling.split);
    step.inputs = inputs;
    step.inputs.resize(4, kNone);
    step.outputs = {output};
    step.attributes = {{std::string(kTile),
                        Sizes{tiling.rows, tiling.columns, tiling.threads(), tiling.split, tiling.shared()}}};
    const AttributeMap described = writer.describe(std::move(step));
    for (const auto& [name, value] : described.entries()) attributes.set(product_prefix(count) + name, value);
    ++count;
  }
  attributes.set(kProducts, count);
}

}  // namespace headrace::cuda
