#include "lowering/cuda/folded_conv.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/generated_step.h"
#include "kernels/cuda/library_support.h"
#include "lowering/cuda/library_attempt.h"
#include "lowering/cuda/window_steps.h"

namespace headrace::cuda {

namespace {

constexpr size_t kSpatial = 2;

int64_t round_up(int64_t size, int64_t to) { return (size + to - 1) / to * to; }

// Sizes of both spatial dimensions, and what becomes of them.
struct Fold {
  int64_t channels = 0;               // of x
  Sizes kernel, stride, low;          // of the convolution
  Sizes blocks = Sizes(kSpatial, 1);  // of its kernel: ceil(kernel / stride)
  int64_t folded = 0, padded = 0;     // channels of a block, and with zeros to whole vectors
};

// Small results are left alone: what the denser product gains there does not pay for the image's own step
// (measured on an H200, ResNet-18: 3 % slower for 1 image of 224 x 224, 12 % faster for 100).
bool is_worthwhile(const StepWriter& writer, const Shape& result) {
  const Dim cells = element_count(std::span<const Dim>(result).first(result.size() - 1));
  return writer.at_opt(cells).value_or(0) >= writer.target().fold_from;
}

Sizes or_else(Sizes values, int64_t fallback) { return values.empty() ? Sizes(kSpatial, fallback) : values; }

std::optional<Fold> fold_of(const PlanBuilder& builder, const ir::Node& node) {
  const ir::Value &x = *node.input(0), &w = *node.input(1);
  const AttributeMap& attributes = node.attributes();
  const Sizes dilation = or_else(attributes.integers("dilation"), 1);
  if (x.shape().size() != kSpatial + 2 || attributes.flag("transposed") ||
      attributes.integer("groups", 1) != 1 || dilation != Sizes(kSpatial, 1) || !builder.is_build_time(w) ||
      !is_static(w.shape()))
    return std::nullopt;
  Fold fold;
  fold.channels = w.shape()[1].constant();
  fold.stride = or_else(attributes.integers("stride"), 1);
  fold.low = or_else(attributes.integers("pad_low"), 0);
  fold.folded = fold.channels;
  constexpr int64_t kFewChannels = 8, kMostFolded = 1024;
  for (size_t d = 0; d < kSpatial; ++d) {
    fold.kernel.push_back(w.shape()[2 + d].constant());
    if (fold.stride[d] < 2 || fold.kernel[d] < fold.stride[d]) return std::nullopt;
    fold.blocks[d] = round_up(fold.kernel[d], fold.stride[d]) / fold.stride[d];
    fold.folded *= fold.stride[d];
  }
  if (fold.channels >= kFewChannels || fold.folded > kMostFolded) return std::nullopt;
  fold.padded = round_up(fold.folded, 16 / dtype_size(x.dtype()));
  return fold;
}

// [O, C, k..] as [O, blocks.., folded channels].
Result<TensorIndex> folded_weight(PlanBuilder& builder, const ir::Node& node, const Fold& fold) {
  HR_ASSIGN(Weight weight, builder.draft_weight(*node.input(1)));
  const auto add = [&](RecipeOp op, Sizes shape, AttributeMap attributes) {
    RecipeStep step;
    step.op = op;
    step.inputs = {static_cast<int>(weight.recipe.size() - 1)};
    step.dtype = weight.dtype;
    step.shape = shape;
    step.attributes = std::move(attributes);
    weight.recipe.push_back(std::move(step));
    weight.shape = std::move(shape);
  };
  const auto add_pad = [&](const Sizes& shape) {
    Sizes high = shape;
    for (size_t d = 0; d < high.size(); ++d) high[d] -= weight.shape[d];
    add(RecipeOp::kEval, shape,
        {{"kernel", std::string("pad")}, {"low", Sizes(high.size(), 0)}, {"high", high}, {"value", 0.0}});
  };
  const int64_t outputs = weight.shape[0], c = fold.channels;
  const Sizes& s = fold.stride;
  const Sizes& b = fold.blocks;
  add_pad({outputs, c, b[0] * s[0], b[1] * s[1]});
  const int64_t row = b[1] * s[1], plane = b[0] * s[0] * row;
  add(RecipeOp::kStrided, {outputs, b[0], b[1], s[0], s[1], c},
      {{"strides", Sizes{c * plane, s[0] * row, s[1], row, 1, plane}}, {"offset", int64_t{0}}});
  const Sizes shape = {outputs, b[0], b[1], fold.folded};
  add(RecipeOp::kStrided, shape,
      {{"strides", row_major_strides(std::span<const int64_t>(shape))}, {"offset", int64_t{0}}});
  if (fold.padded > fold.folded) add_pad({outputs, b[0], b[1], fold.padded});
  weight.stored = {element_count(std::span<const int64_t>(weight.shape)) * dtype_size(weight.dtype)};
  weight.resident = weight.stored;
  return builder.weight_tensor(builder.add_weight(std::move(weight)));
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
                  const Fold& fold) {
  constexpr int64_t kBlock = 128;  // threads
  const PlanTensor from = writer.builder().at(x), to = writer.builder().at(image);
  const int64_t width = StepWriter::vector_width({from.dtype}), cells = cells_of_block(writer, to, fold);
  StepWriter::Step step;
  step.text.family = "fold";
  step.text.declarations = constants_struct("$_fold", {{"stride", fold.stride}, {"low", fold.low}});
  step.text.threads = kBlock;
  step.text.call = fmt::format("fold_image<{}, $_fold, {}, {}, {}, {}, {}, %>(args);", type_name(from.dtype),
                               fold.channels, fold.padded, cells, kBlock, width);
  step.rule = kGridRule;
  step.inputs = {x};
  step.outputs = {image};
  step.attributes = {
      {std::string(kNumbers), std::vector<Dim>{from.shape[1], from.shape[2]}},
      {std::string(kThreads), Sizes{kBlock, 1}},
      {std::string(kBlocks), to.shape[0] * to.shape[1] * Dim::floor_div(to.shape[2] + (cells - 1), cells)},
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
  const DType dtype = node.output()->dtype();
  const Shape& result = node.output()->shape();
  Shape image = {result[0], result[1] + (fold->blocks[0] - 1), result[2] + (fold->blocks[1] - 1),
                 fold->padded};
  const Shape weight = {result[3], fold->blocks[0], fold->blocks[1], fold->padded};
  Attempt asked{node.attributes(), {}, builder.at(y)};
  for (const std::string_view name : {"stride", "pad_low", "pad_high", "dilation"})
    asked.attributes.erase(name);
  asked.attributes.set("weight_channels_last", true);
  asked.inputs = {dense({dtype, image, {}, 0, kNone}), dense({dtype, weight, {}, 0, kNone}),
                  bias == kNone ? std::nullopt : std::optional(builder.at(bias))};
  if (!library_takes_conv(asked.attributes, asked.pointers(), asked.output)) return false;
  const TensorIndex folded = builder.add_arena_tensor(dtype, std::move(image));
  write_folded(writer, node, x, folded, *fold);
  HR_ASSIGN(const TensorIndex w, folded_weight(builder, node, *fold));
  builder.add_step("conv", node, {folded, w, bias, kNone}, {y}, std::move(asked.attributes));
  return true;
}

}  // namespace headrace::cuda
