#include "lowering/cuda/fold.h"

#include "core/error.h"

namespace headrace::cuda {

namespace {

constexpr size_t kSpatial = 2;

Sizes or_else(Sizes values, int64_t fallback) { return values.empty() ? Sizes(kSpatial, fallback) : values; }

}  // namespace

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
    fold.blocks[d] = (fold.kernel[d] + fold.stride[d] - 1) / fold.stride[d];
    fold.folded *= fold.stride[d];
  }
  if (fold.channels >= kFewChannels || fold.folded > kMostFolded) return std::nullopt;
  return fold;
}

Result<TensorIndex> folded_weight(PlanBuilder& builder, const ir::Node& node, const Fold& fold,
                                  int64_t padded) {
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
  if (padded > fold.folded) add_pad({outputs, b[0], b[1], padded});
  weight.stored = {element_count(std::span<const int64_t>(weight.shape)) * dtype_size(weight.dtype)};
  weight.resident = weight.stored;
  return builder.weight_tensor(builder.add_weight(std::move(weight)));
}

}  // namespace headrace::cuda
