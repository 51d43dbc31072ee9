#include "lowering/cuda/weight_products.h"

#include <fmt/format.h>

#include "kernels/cuda/boxed_tensor.h"
#include "kernels/cuda/generated_step.h"
#include "kernels/cuda/library_support.h"
#include "kernels/cuda/product_step.h"
#include "lowering/cuda/pointwise_source.h"

namespace headrace::cuda {
namespace {

// For few rows. Measured on an H200, the fastest of those tried for 128 rows by 768 to 3072 columns and as
// deep.
struct Tiling {
  int64_t rows, columns, warps_m, warps_n, warps_k, stages, split;
  int64_t threads() const { return 32 * warps_m * warps_n * warps_k; }
  int64_t shared() const { return stages * (rows + columns) * 64 * 2; }
};
constexpr Tiling kTilings[] = {
    {32, 32, 1, 1, 4, 8, 1},  {64, 32, 1, 1, 4, 8, 1}, {32, 64, 1, 1, 4, 8, 1},
    {32, 32, 1, 1, 4, 12, 2}, {32, 32, 1, 1, 4, 6, 4},
};
constexpr int64_t kFewRows = 512;           // with more, larger tiles win
constexpr int64_t kDeepFrom = 1536;         // for blocks to share a tile
constexpr int64_t kMostTraffic = 96 << 20;  // bytes that the smallest tiles read in all

// For many rows. Measured there too: clusters that share boxes bring nothing.
struct WideTiling {
  int64_t rows, columns, stages;
  bool together;
  int64_t threads() const { return 3 * 128; }
  // Boxes begin on multiples of 1024.
  int64_t shared() const { return stages * (rows + columns) * 64 * 2 + 1024; }
};
constexpr WideTiling kWideTilings[] = {{128, 128, 7, false}, {128, 192, 5, false}, {256, 96, 5, true}};
constexpr int64_t kManyRows = 256;

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

// What of a product is known when the plan is written.
struct KnownProduct {
  DType dtype;
  int64_t rows, columns, depth;  // rows at the opt sizes
};

// nullopt where no kernel of ours is for it.
std::optional<KnownProduct> known_product(StepWriter& writer, const ir::Node& node,
                                          const std::vector<TensorIndex>& inputs, TensorIndex output) {
  const PlanBuilder& builder = writer.builder();
  const PlanTensor& y = builder.at(output);
  if ((y.dtype != DType::kF16 && y.dtype != DType::kBF16) || !is_weight(builder, node, inputs[1]))
    return std::nullopt;
  const PlanTensor &a = builder.at(inputs[0]), &b = builder.at(inputs[1]);
  const Dim &columns = y.shape.back(), &depth = a.shape.back();
  if (b.shape.size() != 2 || !columns.is_constant() || !depth.is_constant()) return std::nullopt;
  if (columns.constant() % 8 != 0 || depth.constant() % 8 != 0 || !has_aligned_rows(a) ||
      !has_aligned_rows(y))
    return std::nullopt;
  const std::optional<int64_t> rows =
      writer.at_opt(element_count(std::span<const Dim>(y.shape).first(y.shape.size() - 1)));
  if (!rows || *rows < 1) return std::nullopt;
  return KnownProduct{y.dtype, *rows, columns.constant(), depth.constant()};
}

// A kernel without its call.
StepWriter::Step product_step(const ir::Node& node, DType dtype, const std::vector<TensorIndex>& inputs,
                              TensorIndex output) {
  StepWriter::Step step;
  step.text.family = "product";
  step.text.declarations = epilogue_text("$_epilogue", node.attributes().text("epilogue"), dtype);
  step.text.waits = true;
  step.inputs = inputs;
  step.inputs.resize(4, kNone);
  step.outputs = {output};
  return step;
}

StepWriter::Step with_tiling(StepWriter::Step step, DType dtype, const Tiling& tiling) {
  step.text.threads = tiling.threads();
  step.text.call = fmt::format("multiply_weight<{}, {}, {}, {}, {}, {}, {}, {}, $_epilogue, %>(args);",
                               type_name(dtype), tiling.rows, tiling.columns, tiling.warps_m, tiling.warps_n,
                               tiling.warps_k, tiling.stages, tiling.split);
  step.attributes = {{std::string(kTile),
                      Sizes{tiling.rows, tiling.columns, tiling.threads(), tiling.split, tiling.shared()}}};
  return step;
}

StepWriter::Step with_tiling(StepWriter::Step step, DType dtype, const WideTiling& tiling) {
  step.text.arguments = "MappedArgs";
  step.text.threads = tiling.threads();
  step.text.call = fmt::format("multiply_wide<{}, {}, {}, {}, {}, $_epilogue, %>(args);", type_name(dtype),
                               tiling.rows, tiling.columns, tiling.stages, tiling.together);
  step.attributes = {
      {std::string(kTile), Sizes{tiling.rows, tiling.columns, tiling.threads(), 1, tiling.shared()}},
      {std::string(kMapped), true}};
  return step;
}

}  // namespace

void add_weight_products(StepWriter& writer, const ir::Node& node, const std::vector<TensorIndex>& inputs,
                         TensorIndex output, AttributeMap& attributes) {
  const std::optional<KnownProduct> product = known_product(writer, node, inputs, output);
  if (!product) return;
  int64_t count = 0;
  const auto add = [&](StepWriter::Step step) {
    const AttributeMap described = writer.describe(std::move(step));
    for (const auto& [name, value] : described.entries()) attributes.set(product_prefix(count) + name, value);
    ++count;
  };
  const StepWriter::Step step = product_step(node, product->dtype, inputs, output);
  const int64_t tiles = ((product->rows + 31) / 32) * ((product->columns + 31) / 32);
  if (product->rows <= kFewRows && tiles * 64 * product->depth * 2 <= kMostTraffic) {
    for (const Tiling& tiling : kTilings) {
      if (tiling.split > 1 && (product->depth < kDeepFrom || writer.target().sm < 90)) continue;
      add(with_tiling(step, product->dtype, tiling));
    }
  }
  if (product->rows >= kManyRows && product->columns % kBoxGroup == 0 && writer.target().sm == 90) {
    for (const WideTiling& tiling : kWideTilings) add(with_tiling(step, product->dtype, tiling));
  }
  if (count > 0) attributes.set(kProducts, count);
}

}  // namespace headrace::cuda
