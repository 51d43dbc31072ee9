#include "lowering/cuda/image_conv.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/generated_step.h"
#include "lowering/cuda/pointwise_source.h"

namespace headrace::cuda {

namespace {

// Sizes of the kernel's tile (device/image_products.cuh), in bytes where they are not cells.
struct Tile {
  int64_t pitch;  // of cells
  int64_t cells;  // results of a strip
  int64_t slots;  // of the ring of folded rows
  int64_t shared;
};

int64_t round_up(int64_t size, int64_t to) { return (size + to - 1) / to * to; }

// nullopt where a tile does not hold what is needed.
std::optional<Tile> tile_of(const Fold& fold, int64_t outputs, int64_t columns, int64_t element) {
  constexpr int64_t kMostCells = 128, kMostSlots = 16, kMostOutputs = 128, kShared = 224 << 10, kBox = 1024;
  const int64_t bytes = fold.folded * element;
  if (bytes > 128 || outputs % 32 != 0 || outputs > kMostOutputs) return std::nullopt;
  Tile tile = {};
  tile.pitch = bytes <= 32 ? 32 : bytes <= 64 ? 64 : 128;
  const int64_t strips = (columns + kMostCells - 1) / kMostCells;
  tile.cells = std::max<int64_t>(1, (columns + strips - 1) / strips);
  const int64_t slot = round_up((tile.cells + fold.blocks[1] - 1) * tile.pitch, kBox);
  const int64_t weight = round_up(fold.blocks[0] * fold.blocks[1] * tile.pitch, 128) * outputs;
  // Boxes begin on multiples of kBox; the last rows that are multiplied, of no result, may lie behind the
  // ring.
  const int64_t around = kBox + (round_up(tile.cells, 64) - tile.cells) * tile.pitch;
  tile.slots = std::min(kMostSlots, (kShared - weight - around) / slot);
  if (tile.slots < 3 * fold.blocks[0]) return std::nullopt;
  tile.shared = weight + tile.slots * slot + around;
  return tile;
}

bool takes(const Target& target, DType dtype) {
  return target.sm == 90 &&
         (dtype == DType::kF16 || dtype == DType::kBF16 || (dtype == DType::kF32 && target.tf32));
}

}  // namespace

Result<bool> write_image_conv(StepWriter& writer, const ir::Node& node, const Fold& fold, TensorIndex x,
                              TensorIndex bias, TensorIndex y) {
  PlanBuilder& builder = writer.builder();
  const PlanTensor from = builder.at(x), to = builder.at(y);
  if (!takes(writer.target(), to.dtype)) return false;
  const int64_t outputs = to.shape[3].constant(), element = dtype_size(to.dtype);
  const std::optional<Tile> tile = tile_of(fold, outputs, writer.at_opt(to.shape[2]).value_or(1), element);
  if (!tile) return false;
  HR_ASSIGN(const TensorIndex w, folded_weight(builder, node, fold, tile->pitch / element));
  constexpr int64_t kBlock = 3 * 128;
  StepWriter::Step step;
  step.text.family = "image_conv";
  step.text.declarations = constants_struct("$_fold", {{"stride", fold.stride}, {"low", fold.low}}) +
                           epilogue_text("$_epilogue", node.attributes().text("epilogue"), to.dtype);
  step.text.threads = kBlock;
  step.text.waits = true;
  step.text.call = fmt::format("convolve_image<{}, $_fold, {}, {}, {}, {}, {}, {}, $_epilogue, %>(args);",
                               type_name(to.dtype), fold.channels, fold.blocks[0], fold.blocks[1],
                               tile->cells, outputs, tile->slots);
  step.rule = kGridRule;
  step.inputs = {x, w, bias};
  step.outputs = {y};
  const Dim strips = Dim::ceil_div(to.shape[2], tile->cells);
  step.attributes = {{std::string(kNumbers), std::vector<Dim>{from.shape[1], from.shape[2]}},
                     {std::string(kThreads), Sizes{kBlock, 1}},
                     {std::string(kBlocks), to.shape[0] * strips * to.shape[1]},
                     {std::string(kStaying), int64_t{1}},
                     {std::string(kShared), tile->shared},
                     {std::string(kWidth), 16 / element},
                     {std::string(kVectors), Sizes{1, 3}}};
  writer.add(node, std::move(step));
  return true;
}

}  // namespace headrace::cuda
