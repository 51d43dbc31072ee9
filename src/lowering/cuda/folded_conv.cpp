#include "lowering/cuda/folded_conv.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/generated_step.h"
#include "kernels/cuda/library_support.h"
#include "lowering/cuda/fold.h"
#include "lowering/cuda/image_conv.h"
#include "lowering/cuda/library_attempt.h"
#include "lowering/cuda/window_steps.h"

namespace headrace::cuda {

namespace {

// Small results are left alone: what the denser product gains there does not pay for the image's own step
// (measured on an H200, ResNet-18: 3 % slower for 1 image of 224 x 224, 12 % faster for 100).
bool is_worthwhile(const StepWriter& writer, const Shape& result) {
  const Dim cells = element_count(std::span<const Dim>(result).first(result.size() - 1));
  return writer.at_opt(cells).value_or(0) >= writer.target().fold_from;
}

// Cells of a row that a block of threads makes: a row, or an even part of it that leaves room for many
// blocks.
int64_t cells_of_block(const StepWriter& writer, const PlanTensor& image, const Fold& fold) {
  constexpr int64_t kBytes = 8192;
  const int64_t bytes = fold.folded * dtype_size(image.dtype);
  const int64_t row = std::max<int64_t>(1, writer.at_opt(image.shape[2]).value_or(1));
  const int64_t most = std::clamp<int64_t>(kBytes / bytes, 1, row), parts = (row + most - 1) / most;
  return (row + parts - 1) / parts;
}

void write_folded(StepWriter& writer, const ir::Node& node, TensorIndex x, TensorIndex image,
                  const Fold& fold, int64_t padded) {
  constexpr int64_t kBlock = 128;  // threads
  const PlanTensor from = writer.builder().at(x), to = writer.builder().at(image);
  const int64_t width = StepWriter::vector_width({from.dtype}), cells = cells_of_block(writer, to, fold);
  StepWriter::Step step;
  step.text.family = "fold";
  step.text.declarations = constants_struct("$_fold", {{"stride", fold.stride}, {"low", fold.low}});
  step.text.threads = kBlock;
  step.text.call = fmt::format("fold_image<{}, $_fold, {}, {}, {}, {}, {}, %>(args);", type_name(from.dtype),
                               fold.channels, padded, cells, kBlock, width);
  step.rule = kGridRule;
  step.inputs = {x};
  step.outputs = {image};
  step.attributes = {{std::string(kNumbers), std::vector<Dim>{from.shape[1], from.shape[2]}},
                     {std::string(kThreads), Sizes{kBlock, 1}},
                     {std::string(kBlocks), to.shape[0] * to.shape[1] * Dim::ceil_div(to.shape[2], cells)},
                     {std::string(kWidth), width},
                     {std::string(kVectors), Sizes{1}}};
  writer.add(node, std::move(step));
}

}  // namespace

Result<bool> lower_folded_conv(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  const bool last = node.attributes().flag("channels_last");
  const std::optional<Fold> fold = fold_of(builder, node);
  if (!fold || !last || node.input(3) || !is_worthwhile(writer, node.output()->shape())) return false;
  HR_ASSIGN(const TensorIndex x, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex bias, builder.tensor(node.input(2)));
  HR_ASSIGN(const TensorIndex y, builder.tensor(node.output()));
  HR_ASSIGN(const bool written, write_image_conv(writer, node, *fold, x, bias, y));
  if (written) return true;
  const DType dtype = node.output()->dtype();
  const Shape& result = node.output()->shape();
  const int64_t run = 16 / dtype_size(dtype),
                padded = (fold->folded + run - 1) / run * run;  // to whole vectors
  Shape image = {result[0], result[1] + (fold->blocks[0] - 1), result[2] + (fold->blocks[1] - 1), padded};
  const Shape weight = {result[3], fold->blocks[0], fold->blocks[1], padded};
  Attempt asked{node.attributes(), {}, builder.at(y)};
  for (const std::string_view name : {"stride", "pad_low", "pad_high", "dilation"})
    asked.attributes.erase(name);
  asked.attributes.set("weight_channels_last", true);
  asked.inputs = {dense({dtype, image, {}, 0, kNone}), dense({dtype, weight, {}, 0, kNone}),
                  bias == kNone ? std::nullopt : std::optional(builder.at(bias))};
  if (!library_takes_conv(asked.attributes, asked.pointers(), asked.output)) return false;
  const TensorIndex folded = builder.add_arena_tensor(dtype, std::move(image));
  write_folded(writer, node, x, folded, *fold, padded);
  HR_ASSIGN(const TensorIndex w, folded_weight(builder, node, *fold, padded));
  builder.add_step("conv", node, {folded, w, bias, kNone}, {y}, std::move(asked.attributes));
  return true;
}

}  // namespace headrace::cuda
