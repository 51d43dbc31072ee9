// fold_batch_norm: batch norm after a conv or a product of weights goes into those weights and a bias; any
// other becomes x * scale + shift. What is folded is written as weight-only nodes, in f32, so it becomes
// recipes: no weight is read here.
#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

struct Affine {  // per channel, f32 (f64 for f64), of shape [C]
  Value *scale, *shift;
};

// scale = s / sqrt(var + eps), shift = b - mean * scale; where x itself gets `bias` before: b + (bias - mean)
// * scale.
Result<Affine> affine_of(const Builder& build, const Node& norm, Value* bias) {
  const DType wide = norm.output()->dtype() == DType::kF64 ? DType::kF64 : DType::kF32;
  const auto widened = [&](Value* value) -> Result<Value*> {
    if (!value) return value;
    return build.cast(value, wide);
  };
  HR_ASSIGN(Value * s, widened(norm.input(1)));
  HR_ASSIGN(Value * b, widened(norm.input(2)));
  HR_ASSIGN(Value * mean, widened(norm.input(3)));
  HR_ASSIGN(Value * var, widened(norm.input(4)));
  HR_ASSIGN(Value * before, widened(bias));
  Value* eps = add_scalar(build.graph, "eps", wide, norm.attributes().number("eps"));
  HR_ASSIGN(Value * sum, build("add", {var, eps}));
  HR_ASSIGN(Value * scale, build("rsqrt", {sum}));
  if (s) {
    HR_ASSIGN(scale, build("mul", {s, scale}));
  }
  Value* from = nullptr;
  if (before) {
    HR_ASSIGN(from, build("sub", {before, mean}));
  } else {
    HR_ASSIGN(from, build("neg", {mean}));
  }
  HR_ASSIGN(Value * shift, build("mul", {from, scale}));
  if (b) {
    HR_ASSIGN(shift, build("add", {shift, b}));
  }
  return Affine{scale, shift};
}

// weight * scale, where `scale` [C] lies along the dims of `view` that are not 1.
Result<Value*> scaled(const Builder& build, Value* weight, Value* scale, const Shape& weight_view,
                      const Shape& scale_view) {
  HR_ASSIGN(Value * wide, build.cast(weight, scale->dtype()));
  HR_ASSIGN(wide, build.reshape(wide, weight_view));
  HR_ASSIGN(Value * factor, build.reshape(scale, scale_view));
  HR_ASSIGN(Value * product, build("mul", {wide, factor}));
  HR_ASSIGN(product, build.reshape(product, weight->shape()));
  return build.cast(product, weight->dtype());
}

Result<Value*> scaled_conv_weight(const Builder& build, const Node& conv, Value* scale) {
  Value* weight = conv.input(1);
  const Shape& shape = weight->shape();
  if (!conv.attributes().flag("transposed")) {
    Shape view(shape.size(), Dim(1));
    view[0] = shape[0];
    return scaled(build, weight, scale, shape, view);
  }
  // [C, O/groups, k..] as [groups, C/groups, O/groups, k..]: scale is [groups, 1, O/groups, 1..].
  const Dim groups = conv.attributes().integer("groups", 1);
  Shape weight_view = {groups, Dim::floor_div(shape[0], groups), shape[1]},
        scale_view = {groups, 1, shape[1]};
  weight_view.insert(weight_view.end(), shape.begin() + 2, shape.end());
  scale_view.resize(weight_view.size(), Dim(1));
  return scaled(build, weight, scale, weight_view, scale_view);
}

Result<Value*> scaled_matmul_weight(const Builder& build, const Node& matmul, Value* scale) {
  Value* weight = matmul.input(1);
  const size_t rank = weight->shape().size();
  Shape view(rank, Dim(1));
  view[matmul.attributes().flag("transpose_b") ? rank - 2 : rank - 1] = scale->shape()[0];
  return scaled(build, weight, scale, weight->shape(), view);
}

bool all_constant(const Node& norm) {
  for (size_t i = 1; i < 5; ++i)
    if (norm.input(i) && !is_constant(norm.input(i))) return false;
  return true;
}

// The product before `norm` that it can go into.
Node* foldable(const Node& norm) {
  Value* x = norm.input(0);
  Node* node = producer(x, "conv");
  if (!node) node = producer(x, "matmul");
  if (!node || !only_use(x) || node->input(3) || !node->attributes().text("epilogue").empty()) return nullptr;
  if (!is_constant(node->input(1)) || (node->input(2) && !is_constant(node->input(2)))) return nullptr;
  const int64_t axis = norm.attributes().integer("axis", 1);
  const bool last = node->is("matmul") || node->attributes().flag("channels_last");
  return axis == (last ? x->rank() - 1 : 1) ? node : nullptr;
}

Result<bool> fold(Graph& graph, Node* norm, const Node& product) {
  const Builder build{graph, norm, fmt::format("{}.folded", product.input(1)->name())};
  const Builder build_affine{graph, norm, fmt::format("{}.affine", norm->output()->name())};
  HR_ASSIGN(const Affine affine, affine_of(build_affine, *norm, product.input(2)));
  HR_ASSIGN(Value * weight, product.is("conv") ? scaled_conv_weight(build, product, affine.scale)
                                               : scaled_matmul_weight(build, product, affine.scale));
  HR_ASSIGN(Value * bias, build.cast(affine.shift, product.input(1)->dtype()));
  return replaced(
      replace_with(graph, norm, product.op()->name, {product.input(0), weight, bias}, product.attributes()));
}

// x * scale + shift, computed wide and rounded once.
Result<bool> write_out(Graph& graph, Node* norm) {
  Value* x = norm->input(0);
  const Builder build{graph, norm, fmt::format("{}.affine", norm->output()->name())};
  HR_ASSIGN(const Affine affine, affine_of(build, *norm, nullptr));
  const auto after = static_cast<size_t>(x->rank() - 1 - norm->attributes().integer("axis", 1));
  Shape view(after + 1, Dim(1));
  view[0] = affine.scale->shape()[0];
  HR_ASSIGN(Value * scale, build.reshape(affine.scale, view));
  HR_ASSIGN(Value * shift, build.reshape(affine.shift, view));
  HR_ASSIGN(Value * wide, build.cast(x, scale->dtype()));
  HR_ASSIGN(Value * product, build("mul", {wide, scale}));
  if (x->dtype() == scale->dtype()) return replaced(replace_with(graph, norm, "add", {product, shift}));
  HR_ASSIGN(Value * sum, build("add", {product, shift}));
  return replaced(replace_with(graph, norm, "cast", {sum}, dtype_attribute(x->dtype())));
}

}  // namespace

Result<bool> fold_batch_norm(Graph& graph, const PassContext&) {
  bool changed = false;
  for (Node* node : snapshot(graph)) {
    if (!node->is("batch_norm") || !all_constant(*node)) continue;
    const Node* product = foldable(*node);
    HR_ASSIGN(const bool here, product ? fold(graph, node, *product) : write_out(graph, node));
    changed |= here;
  }
  return changed;
}

}  // namespace headrace::passes
