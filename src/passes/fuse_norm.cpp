// fuse_norm: RMS norm and layer norm written out in small ops, as Hugging Face's models have them, become one
// op; then scale, bias and the casts around them are taken in.
//
//   x * rsqrt(mean(x * x) + eps)                   -> rms_norm(x)
//   (x - mean(x)) * rsqrt(mean((x - mean(x))^2) + eps) -> layer_norm(x)
//   norm(x) * w, norm(x, w) + b                    -> norm(x, w), norm(x, w, b)
//   cast(norm(cast(x)))                            -> norm(x): norms compute in f32 inside
#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

// The value whose square this is; nullptr where it is none.
Value* squared(const Value* value) {
  if (const Node* mul = producer(value, "mul"))
    return mul->input(0) == mul->input(1) ? mul->input(0) : nullptr;
  const Node* pow = producer(value, "pow");
  return pow && is_uniform(pow->input(1), 2) ? pow->input(0) : nullptr;
}

// The mean over trailing dims, kept: its input and how many dims.
std::optional<std::pair<Value*, int64_t>> trailing_mean(const Value* value) {
  const Node* reduce = producer(value, "reduce");
  if (!reduce || reduce->attributes().text("kind") != "mean" || !reduce->attributes().flag("keepdim"))
    return std::nullopt;
  Value* x = reduce->input(0);
  const auto axes = reduce->attributes().integers("axes");
  std::vector<bool> seen(static_cast<size_t>(x->rank()), false);
  for (const int64_t axis : axes) seen[static_cast<size_t>(axis)] = true;
  const auto count = static_cast<int64_t>(axes.size());
  for (int64_t axis = x->rank() - count; axis < x->rank(); ++axis)
    if (axis < 0 || !seen[static_cast<size_t>(axis)]) return std::nullopt;
  return count == 0 ? std::nullopt : std::optional(std::pair{x, count});
}

struct Deviation {  // 1 / sqrt(mean(of * of) + eps), over trailing dims
  Value* of;
  int64_t axes;
  double eps;
};

std::optional<Deviation> deviation_under_root(const Value* value) {
  const Node* add = producer(value, "add");
  if (!add) return std::nullopt;
  const auto found =
      either_order(*add, [](const Value* side) { return producer(side, "reduce") != nullptr; });
  if (!found) return std::nullopt;
  const auto mean = trailing_mean(found->first);
  const auto eps = uniform(found->second);
  Value* of = mean ? squared(mean->first) : nullptr;
  if (!of || !eps || !(*eps >= 0)) return std::nullopt;
  return Deviation{of, mean->second, *eps};
}

// y of y / deviation(y), in its two spellings.
std::optional<Deviation> normalised(const Node& node) {
  if (node.is("mul")) {
    for (const size_t side : {size_t{0}, size_t{1}}) {
      const Node* root = producer(node.input(side), "rsqrt");
      if (const Node* inverse = producer(node.input(side), "reciprocal"))
        root = producer(inverse->input(0), "sqrt");
      const auto found = root ? deviation_under_root(root->input(0)) : std::nullopt;
      if (found && found->of == node.input(1 - side)) return found;
    }
  }
  if (node.is("div")) {
    const Node* root = producer(node.input(1), "sqrt");
    const auto found = root ? deviation_under_root(root->input(0)) : std::nullopt;
    if (found && found->of == node.input(0)) return found;
  }
  return std::nullopt;
}

Result<bool> fuse_core(Graph& graph, Node* node) {
  const auto found = normalised(*node);
  // Only f32, and what is wider than the op's own arithmetic not at all: f64 stays written out.
  if (!found || found->of->dtype() == DType::kF64) return false;
  const AttributeMap attributes = {{"axes", found->axes}, {"eps", found->eps}};
  if (const Node* sub = producer(found->of, "sub")) {
    const auto mean = trailing_mean(sub->input(1));
    if (mean && mean->first == sub->input(0) && mean->second == found->axes)
      return replaced(replace_with(graph, node, "layer_norm", {sub->input(0)}, attributes));
  }
  return replaced(replace_with(graph, node, "rms_norm", {found->of}, attributes));
}

Node* norm_of(const Value* value) {
  Node* node = producer(value, "rms_norm");
  return node ? node : producer(value, "layer_norm");
}

// Whether `vector` has the shape of the dims that `norm` works over.
bool fits(const Value& vector, const Node& norm) {
  const Shape& shape = norm.output()->shape();
  const auto axes = static_cast<size_t>(norm.attributes().integer("axes"));
  if (!is_constant(&vector) || vector.dtype() != norm.output()->dtype() || axes > shape.size()) return false;
  const Shape dims(shape.end() - static_cast<ptrdiff_t>(axes), shape.end());
  const size_t rank = std::max(shape.size(), static_cast<size_t>(vector.rank()));
  return padded(vector.shape(), rank) == padded(dims, rank);
}

Result<bool> absorb(Graph& graph, Node* node, Node* norm, size_t slot, Value* vector) {
  const Builder build{graph, node, vector->name()};
  const Shape& shape = norm->output()->shape();
  const auto axes = static_cast<ptrdiff_t>(norm->attributes().integer("axes"));
  HR_ASSIGN(Value * flat, build.reshape(vector, Shape(shape.end() - axes, shape.end())));
  std::vector<Value*> inputs = norm->inputs();
  inputs.resize(std::max(inputs.size(), slot + 1), nullptr);
  inputs[slot] = flat;
  return replaced(replace_with(graph, node, norm->op()->name, inputs, norm->attributes()));
}

Result<bool> absorb_scale_or_bias(Graph& graph, Node* node) {
  const bool is_scale = node->is("mul");
  for (const size_t side : {size_t{0}, size_t{1}}) {
    Node* norm = norm_of(node->input(side));
    Value* vector = node->input(1 - side);
    if (!norm || !only_use(norm->output()) || !fits(*vector, *norm)) continue;
    if (node->output()->shape() != norm->output()->shape()) continue;
    if (is_scale && !norm->input(1) && !norm->input(2)) return absorb(graph, node, norm, 1, vector);
    if (!is_scale && norm->is("layer_norm") && !norm->input(2)) return absorb(graph, node, norm, 2, vector);
  }
  return false;
}

// The value of `low` dtype that this is cast from.
Value* cast_from(const Value* value, DType low) {
  const Node* cast = producer(value, "cast");
  return cast && cast->input(0)->dtype() == low ? cast->input(0) : nullptr;
}

Result<bool> absorb_casts(Graph& graph, Node* node) {
  const DType low = node->output()->dtype();
  Node* norm = norm_of(node->input(0));
  if (!norm || (low != DType::kBF16 && low != DType::kF16) || !only_use(norm->output())) return false;
  if (norm->output()->dtype() != DType::kF32) return false;
  std::vector<Value*> inputs;
  for (Value* input : norm->inputs()) {
    inputs.push_back(input ? cast_from(input, low) : nullptr);
    if (input && !inputs.back()) return false;
  }
  return replaced(replace_with(graph, node, norm->op()->name, inputs, norm->attributes()));
}

}  // namespace

Result<bool> fuse_norm(Graph& graph, const PassContext& context) {
  if (!context.options.preferences.fuse_norm) return false;
  bool changed = false;
  for (Node* node : snapshot(graph)) {
    if (ir::is_weight_only(*node)) continue;
    bool here = false;
    if (node->is("mul") || node->is("div")) {
      HR_ASSIGN(here, fuse_core(graph, node));
    }
    if (!here && (node->is("mul") || node->is("add"))) {
      HR_ASSIGN(here, absorb_scale_or_bias(graph, node));
    }
    if (!here && node->is("cast")) {
      HR_ASSIGN(here, absorb_casts(graph, node));
    }
    changed |= here;
  }
  return changed;
}

}  // namespace headrace::passes
