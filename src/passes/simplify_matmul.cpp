// Rules that move reshapes and transposes of leading dims past products with a weight matrix, which works row
// by row: they meet their like there, and residuals keep their shape.
#include <algorithm>

#include "passes/simplify.h"

namespace headrace::passes {
namespace {

bool works_by_row(const Node& node) {
  return node.input(1)->rank() == 2 && !node.input(3) && node.attributes().text("epilogue").empty() &&
         !ir::is_weight_only(node);
}

bool all_users(const Value& value, std::initializer_list<std::string_view> ops) {
  if (value.is_graph_output()) return false;
  return std::all_of(value.users().begin(), value.users().end(), [&](const Node* user) {
    return std::any_of(ops.begin(), ops.end(), [&](std::string_view op) { return user->is(op); });
  });
}

bool keeps_last(const std::vector<int64_t>& perm) {
  return !perm.empty() && perm.back() == static_cast<int64_t>(perm.size()) - 1;
}

Result<Value*> with_rows(Graph& graph, const Node& product, Value* rows, Node* position) {
  std::vector<Value*> inputs = product.inputs();
  inputs[0] = rows;
  HR_ASSIGN(Value * moved,
            graph.add("matmul", inputs, product.attributes(), stem(product.output()->name()), position));
  merge_sources(moved->producer(), product);
  return moved;
}

// reshape(matmul(reshape(x), w)) as reshape(matmul(x, w)).
Result<bool> unflatten(Graph& graph, Node* node, Value* x) {
  if (x->rank() < 2 || !(x->shape().back() == node->input(0)->shape().back())) return false;
  if (!all_users(*node->output(), {"reshape"})) return false;
  HR_ASSIGN(Value * moved, with_rows(graph, *node, x, node));
  return replaced(replace_with(graph, node, "reshape", {moved}, shape_attribute(node->output()->shape())));
}

// matmul(transpose(x), w) as transpose(matmul(x, w)), where the result is moved about anyway.
Result<bool> sink_transpose(Graph& graph, Node* node, const Node& transpose) {
  if (!keeps_last(transpose.attributes().integers("perm"))) return false;
  if (!only_use(transpose.output()) || !all_users(*node->output(), {"slice", "reshape", "transpose"}))
    return false;
  HR_ASSIGN(Value * moved, with_rows(graph, *node, transpose.input(0), node));
  return replaced(replace_with(graph, node, "transpose", {moved}, transpose.attributes()));
}

}  // namespace

Result<bool> simplify_matmul(Graph& graph, Node* node) {
  if (!works_by_row(*node)) return false;
  if (const Node* reshape = producer(node->input(0), "reshape")) {
    HR_ASSIGN(const bool done, unflatten(graph, node, reshape->input(0)));
    if (done) return true;
  }
  const Node* transpose = producer(node->input(0), "transpose");
  return transpose ? sink_transpose(graph, node, *transpose) : false;
}

// reshape(matmul(reshape(x), w)) as matmul(reshape(x), w), where both reshapes keep rows whole but x does
// not: the reshapes of the operand then become one.
Result<bool> hoist_reshape(Graph& graph, Node* node) {
  const Node* product = producer(node->input(0), "matmul");
  if (!product || !works_by_row(*product) || !only_use(product->output())) return false;
  const Node* reshape = producer(product->input(0), "reshape");
  const Dim& columns = product->input(0)->shape().back();
  Shape shape = node->output()->shape();
  if (!reshape || reshape->input(0)->rank() == 0 || reshape->input(0)->shape().back() == columns)
    return false;
  if (shape.size() < 2 || !(shape.back() == product->output()->shape().back())) return false;
  shape.back() = columns;
  HR_ASSIGN(Value * rows, graph.add("reshape", {product->input(0)}, shape_attribute(shape),
                                    stem(product->input(0)->name()), node));
  std::vector<Value*> inputs = product->inputs();
  inputs[0] = rows;
  return replaced(replace_with(graph, node, "matmul", inputs, product->attributes()));
}

// reshape(matmul(reshape(x), reshape(y))) of [P, M, K] and [P, K, N], as decomposed programs have products of
// more dims, where the last reshape parts P: as matmul(reshape(x), reshape(y)), of dims that meet those of x
// and y.
Result<bool> unflatten_batches(Graph& graph, Node* node) {
  const Value* flat = node->input(0);
  const Node* product = producer(flat, "matmul");
  if (!product || !only_use(flat) || product->input(2) || product->input(3)) return false;
  if (!product->attributes().text("epilogue").empty() || flat->rank() != 3) return false;
  const Shape& parted = node->output()->shape();
  if (parted.size() <= 3 || !(parted.back() == flat->shape().back()) ||
      !(parted[parted.size() - 2] == flat->shape()[1]))
    return false;
  std::vector<Value*> operands = {product->input(0), product->input(1)};
  for (const Value* operand : operands) {
    if (!producer(operand, "reshape") || operand->rank() != 3 || !(operand->shape()[0] == flat->shape()[0]))
      return false;
  }
  for (Value*& operand : operands) {
    Shape shape(parted.begin(), parted.end() - 2);
    shape.insert(shape.end(), operand->shape().begin() + 1, operand->shape().end());
    HR_ASSIGN(operand, graph.add("reshape", {operand}, shape_attribute(std::move(shape)),
                                 stem(operand->name()), node));
  }
  return replaced(replace_with(graph, node, "matmul", operands, product->attributes()));
}

// transpose(matmul(reshape(transpose(x)), w)) as matmul(transpose(reshape(transpose(x))), w), where the
// transposes of the operand then become one.
Result<bool> hoist_transpose(Graph& graph, Node* node) {
  const std::vector<int64_t> perm = node->attributes().integers("perm");
  const Node* product = producer(node->input(0), "matmul");
  if (!product || !works_by_row(*product) || !only_use(product->output()) || !keeps_last(perm)) return false;
  const Node* reshape = producer(product->input(0), "reshape");
  if (!reshape || !only_use(reshape->output()) || !producer(reshape->input(0), "transpose")) return false;
  HR_ASSIGN(Value * rows, graph.add("transpose", {product->input(0)}, node->attributes(),
                                    stem(product->input(0)->name()), node));
  std::vector<Value*> inputs = product->inputs();
  inputs[0] = rows;
  return replaced(replace_with(graph, node, "matmul", inputs, product->attributes()));
}

}  // namespace headrace::passes
