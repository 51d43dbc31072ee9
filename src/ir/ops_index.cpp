// Ops whose indices are values.
#include "ir/infer.h"

namespace headrace::ir {
namespace {

Status require_indices(const Node& node, size_t index) {
  const Value* input = node.input(index);
  if (input->dtype() == DType::kI32 || input->dtype() == DType::kI64) return {};
  return op_error(node, "indices '{}' are {}; they must be i32 or i64", input->name(),
                  dtype_name(input->dtype()));
}

Result<Types> infer_gather(const Node& node) {
  HR_TRY(require_present(node, {0, 1}));
  HR_TRY(require_indices(node, 1));
  const Value &x = *node.input(0), &indices = *node.input(1);
  HR_ASSIGN(const int64_t axis, require_axis(node, "axis", x.rank()));
  Type result{x.dtype(), Shape(x.shape().begin(), x.shape().begin() + axis)};
  result.shape.insert(result.shape.end(), indices.shape().begin(), indices.shape().end());
  result.shape.insert(result.shape.end(), x.shape().begin() + axis + 1, x.shape().end());
  return Types{std::move(result)};
}

Result<Types> infer_gather_elements(const Node& node) {
  HR_TRY(require_present(node, {0, 1}));
  HR_TRY(require_indices(node, 1));
  const Value &x = *node.input(0), &indices = *node.input(1);
  HR_TRY(require_axis(node, "axis", x.rank()).status());
  if (indices.rank() != x.rank()) {
    return op_error(node, "x is {}, indices are {}; their ranks must be equal", to_text(x.type()),
                    to_text(indices.type()));
  }
  return Types{{x.dtype(), indices.shape()}};
}

Result<Types> infer_index(const Node& node) {
  HR_TRY(require_present(node, {0}));
  const Value& x = *node.input(0);
  const size_t count = node.inputs().size() - 1;
  if (count > x.shape().size()) return op_error(node, "{} index tensors for x, {}", count, to_text(x.type()));
  Shape shape;
  for (size_t i = 1; i <= count; ++i) {
    HR_TRY(require_present(node, {i}));
    HR_TRY(require_indices(node, i));
    const Result<Shape> joined = broadcast(shape, node.input(i)->shape());
    if (!joined.ok()) return op_error(node, "{}", joined.status().message());
    shape = *joined;
  }
  shape.insert(shape.end(), x.shape().begin() + static_cast<int64_t>(count), x.shape().end());
  return Types{{x.dtype(), std::move(shape)}};
}

}  // namespace

std::vector<OpInfo> index_ops() {
  using enum AttributeKind;
  const AttributeInfo axis{"axis", kInt, true, "that is indexed"};
  return {
      {"gather",
       2,
       2,
       {axis},
       infer_gather,
       "Slices of x along an axis, by index: embeddings, index_select. A negative index counts from the "
       "end."},
      {"gather_elements", 2, 2, {axis}, infer_gather_elements, "torch.gather: an index for each element."},
      {"index",
       2,
       -1,
       {},
       infer_index,
       "x[i0, i1, ..]: the first dimensions by index tensors, broadcast together."},
  };
}

}  // namespace headrace::ir
