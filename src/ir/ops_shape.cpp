// Ops that move elements without computing on them, and makers of tensors from sizes.
#include <algorithm>

#include "ir/infer.h"

namespace headrace::ir {
namespace {

Result<Types> infer_reshape(const Node& node) {
  HR_TRY(require_present(node, {0}));
  const Value& x = *node.input(0);
  Type result{x.dtype(), node.attributes().dims("shape")};
  if (!(element_count(result.shape) == element_count(x.shape()))) {
    return op_error(node, "x is {} with {} elements; the new shape {} has {}", to_text(x.type()),
                    element_count(x.shape()).text(), headrace::to_text(result.shape),
                    element_count(result.shape).text());
  }
  return Types{std::move(result)};
}

Result<Types> infer_transpose(const Node& node) {
  HR_TRY(require_present(node, {0}));
  const Value& x = *node.input(0);
  const Sizes perm = node.attributes().integers("perm");
  Sizes sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  bool permutation = perm.size() == x.shape().size();
  for (size_t i = 0; permutation && i < sorted.size(); ++i)
    permutation = sorted[i] == static_cast<int64_t>(i);
  if (!permutation)
    return op_error(node, "{} is no permutation of the {} dimensions of x", headrace::to_text(perm),
                    x.rank());
  Type result{x.dtype(), {}};
  for (int64_t from : perm) result.shape.push_back(x.shape()[static_cast<size_t>(from)]);
  return Types{std::move(result)};
}

Result<Types> infer_expand(const Node& node) {
  HR_TRY(require_present(node, {0}));
  const Value& x = *node.input(0);
  Type result{x.dtype(), node.attributes().dims("shape")};
  const Result<Shape> joined = broadcast(result.shape, x.shape());
  if (!joined.ok() || *joined != result.shape) {
    return op_error(node, "x is {}; it does not expand to {}", to_text(x.type()),
                    headrace::to_text(result.shape));
  }
  return Types{std::move(result)};
}

Result<Types> infer_slice(const Node& node) {
  HR_TRY(require_present(node, {0}));
  HR_ASSIGN(const int64_t axis, require_axis(node, "axis", node.input(0)->rank()));
  const Dim start = node.attributes().get<Dim>("start", 0), stop = node.attributes().get<Dim>("stop", 0);
  const int64_t step = node.attributes().integer("step", 1);
  Type result = node.input(0)->type();
  Dim& size = result.shape[static_cast<size_t>(axis)];
  const bool constant = start.is_constant() && stop.is_constant();
  if (step < 1 || (constant && (start.constant() < 0 || stop.constant() < start.constant())) ||
      (stop.is_constant() && size.is_constant() && stop.constant() > size.constant())) {
    return op_error(node, "[{} : {} : {}] is outside axis {} of x, {}", start.text(), stop.text(), step, axis,
                    to_text(node.input(0)->type()));
  }
  size = Dim::ceil_div(stop - start, step);
  return Types{std::move(result)};
}

Result<Types> infer_concat(const Node& node) {
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    HR_TRY(require_present(node, {i}));
    HR_TRY(require_same_dtype(node, {0, i}));
  }
  HR_ASSIGN(const int64_t axis, require_axis(node, "axis", node.input(0)->rank()));
  Type result = node.input(0)->type();
  for (const Value* input : std::span(node.inputs()).subspan(1)) {
    bool fits = input->rank() == static_cast<int64_t>(result.shape.size());
    for (size_t i = 0; fits && i < result.shape.size(); ++i) {
      fits = i == static_cast<size_t>(axis) || input->shape()[i] == result.shape[i];
    }
    if (!fits) {
      return op_error(node, "'{}' is {}, '{}' is {}; they must be equal but for axis {}",
                      node.input(0)->name(), to_text(node.input(0)->type()), input->name(),
                      to_text(input->type()), axis);
    }
    Dim& size = result.shape[static_cast<size_t>(axis)];
    size = size + input->shape()[static_cast<size_t>(axis)];
  }
  return Types{std::move(result)};
}

Result<Types> infer_pad(const Node& node) {
  HR_TRY(require_present(node, {0}));
  Type result = node.input(0)->type();
  const Sizes low = node.attributes().integers("low"), high = node.attributes().integers("high");
  if (low.size() != result.shape.size() || high.size() != result.shape.size()) {
    return op_error(node, "low and high have {} and {} entries for x, {}", low.size(), high.size(),
                    to_text(result));
  }
  for (size_t i = 0; i < low.size(); ++i) {
    if (low[i] < 0 || high[i] < 0) return op_error(node, "negative padding; use slice");
    result.shape[i] = result.shape[i] + low[i] + high[i];
  }
  return Types{std::move(result)};
}

Result<Types> infer_iota(const Node& node) {
  const Dim count = node.attributes().get<Dim>("count", 0);
  if (count.is_constant() && count.constant() < 0)
    return op_error(node, "count {} is negative", count.text());
  return Types{{DType::kI64, {count}}};
}

Result<Types> infer_fill(const Node& node) {
  return Types{{node.attributes().get<DType>("dtype", DType::kF32), node.attributes().dims("shape")}};
}

Result<Types> infer_dim_value(const Node&) { return Types{{DType::kI64, {}}}; }

}  // namespace

std::vector<OpInfo> shape_ops() {
  using enum AttributeKind;
  const AttributeInfo axis{"axis", kInt, true, "counted from 0"};
  return {
      {"reshape",
       1,
       1,
       {{"shape", kDims, true, "the new shape, whole"}},
       infer_reshape,
       "The same elements in row-major order."},
      {"transpose",
       1,
       1,
       {{"perm", kInts, true, "result dimension i is dimension perm[i] of x"}},
       infer_transpose,
       "Dimensions in another order."},
      {"expand",
       1,
       1,
       {{"shape", kDims, true, "that x broadcasts to"}},
       infer_expand,
       "Broadcast to a shape."},
      {"slice",
       1,
       1,
       {axis,
        {"start", kDim, true, "first"},
        {"stop", kDim, true, "past the last"},
        {"step", kInt, false, "1"}},
       infer_slice,
       "Elements start, start + step, … below stop along an axis; 0 <= start <= stop <= size."},
      {"concat", 1, -1, {axis}, infer_concat, "Inputs one after another along an axis."},
      {"pad",
       1,
       1,
       {{"low", kInts, true, "before, one a dimension"},
        {"high", kInts, true, "after"},
        {"value", kFloat, false, "0"}},
       infer_pad,
       "Constant padding."},
      {"iota",
       0,
       0,
       {{"start", kDim, true, "first"}, {"count", kDim, true, "how many"}, {"step", kInt, false, "1"}},
       infer_iota,
       "start, start + step, …; i64."},
      {"fill",
       0,
       0,
       {{"shape", kDims, true, "of the result"},
        {"value", kFloat, true, "of all elements"},
        {"dtype", kDType, true, "of the result"}},
       infer_fill,
       "A tensor of one value."},
      {"dim_value", 0, 0, {{"value", kDim, true, "a size"}}, infer_dim_value, "A size as an i64 scalar."},
  };
}

}  // namespace headrace::ir
