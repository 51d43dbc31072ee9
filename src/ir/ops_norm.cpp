// Normalisations, softmax and rotary embeddings.
#include "ir/infer.h"

namespace headrace::ir {
namespace {

Status check_scale(const Node& node, std::initializer_list<size_t> indices, std::span<const Dim> shape) {
  for (size_t index : indices) {
    const Value* input = node.input(index);
    if (input != nullptr &&
        !std::equal(shape.begin(), shape.end(), input->shape().begin(), input->shape().end())) {
      return op_error(node, "'{}' is {}; it must be {}", input->name(), to_text(input->type()),
                      to_text(shape));
    }
  }
  return {};
}

// layer_norm and rms_norm: over the last `axes` dimensions.
Result<Types> infer_trailing(const Node& node) {
  HR_TRY(require_present(node, {0}));
  HR_TRY(require_same_dtype(node, {0, 1, 2}));
  HR_TRY(require_float(node, 0));
  const Value& x = *node.input(0);
  const int64_t axes = node.attributes().integer("axes", 0);
  if (axes < 1 || axes > x.rank()) return op_error(node, "axes is {}; x is {}", axes, to_text(x.type()));
  HR_TRY(check_scale(node, {1, 2}, std::span(x.shape()).last(static_cast<size_t>(axes))));
  return Types{x.type()};
}

Result<Types> infer_batch_norm(const Node& node) {
  HR_TRY(require_present(node, {0, 3, 4}));
  HR_TRY(require_float(node, 0));
  const Value& x = *node.input(0);
  const int64_t axis = node.attributes().integer("axis", 1);
  if (axis < 0 || axis >= x.rank())
    return op_error(node, "axis {} is outside x, {}", axis, to_text(x.type()));
  HR_TRY(check_scale(node, {1, 2, 3, 4}, std::span(x.shape()).subspan(static_cast<size_t>(axis), 1)));
  return Types{x.type()};
}

Result<Types> infer_group_norm(const Node& node) {
  HR_TRY(require_present(node, {0}));
  HR_TRY(require_same_dtype(node, {0, 1, 2}));
  HR_TRY(require_float(node, 0));
  const Value& x = *node.input(0);
  const int64_t groups = node.attributes().integer("groups", 1);
  if (x.rank() < 2 || groups < 1 || !(Dim::mod(x.shape()[1], groups) == Dim(0))) {
    return op_error(node, "{} groups do not divide the channels of x, {}", groups, to_text(x.type()));
  }
  HR_TRY(check_scale(node, {1, 2}, std::span(x.shape()).subspan(1, 1)));
  return Types{x.type()};
}

Result<Types> infer_softmax(const Node& node) {
  HR_TRY(require_present(node, {0}));
  HR_TRY(require_float(node, 0));
  HR_TRY(require_axis(node, "axis", node.input(0)->rank()).status());
  return Types{node.input(0)->type()};
}

Result<Types> infer_rotary(const Node& node) {
  HR_TRY(require_present(node, {0, 1, 2}));
  HR_TRY(require_same_dtype(node, {0, 1, 2}));
  HR_TRY(require_float(node, 0));
  const Value& x = *node.input(0);
  if (x.rank() < 1 || !(Dim::mod(x.shape().back(), 2) == Dim(0))) {
    return op_error(node, "x is {}; its last size must be even", to_text(x.type()));
  }
  for (size_t i : {1, 2}) {
    const Result<Shape> joined = broadcast(x.shape(), node.input(i)->shape());
    if (!joined.ok() || *joined != x.shape()) {
      return op_error(node, "'{}' is {}; it must broadcast to x, {}", node.input(i)->name(),
                      to_text(node.input(i)->type()), to_text(x.type()));
    }
  }
  return Types{x.type()};
}

}  // namespace

std::vector<OpInfo> norm_ops() {
  using enum AttributeKind;
  const AttributeInfo eps{"eps", kFloat, true, "added to the variance or mean square"};
  const AttributeInfo axes{"axes", kInt, true, "how many trailing dimensions are normalised over"};
  return {
      {"batch_norm",
       5,
       5,
       {eps, {"axis", kInt, false, "of the channels; 1"}},
       infer_batch_norm,
       "(x - mean) / sqrt(var + eps) * scale + bias, with given statistics; inputs x, [scale], [bias], mean, "
       "var."},
      {"layer_norm", 1, 3, {axes, eps}, infer_trailing, "Layer normalisation; inputs x, [scale], [bias]."},
      {"rms_norm", 1, 2, {axes, eps}, infer_trailing, "x / sqrt(mean(x²) + eps) * scale; inputs x, [scale]."},
      {"group_norm",
       1,
       3,
       {eps, {"groups", kInt, true, "that the channels are split into"}},
       infer_group_norm,
       "Normalisation over groups of channels; inputs x, [scale], [bias]."},
      {"softmax",
       1,
       1,
       {{"axis", kInt, true, "that is summed to 1"}, {"log", kBool, false, "the logarithm of it"}},
       infer_softmax,
       "exp(x - max) / sum, computed in f32."},
      {"rotary",
       3,
       3,
       {{"interleaved", kBool, false, "pairs are neighbours, not halves"}},
       infer_rotary,
       "Rotary position embedding: x·cos + rotate_half(x)·sin; inputs x, cos, sin."},
  };
}

}  // namespace headrace::ir
