// Reductions and scans.
#include <algorithm>

#include "ir/infer.h"

namespace headrace::ir {
namespace {

Result<Types> infer_reduce(const Node& node) {
  HR_TRY(require_present(node, {0}));
  const Value& x = *node.input(0);
  static constexpr std::string_view kKinds[] = {"sum", "mean", "max", "min", "prod", "any", "all"};
  const std::string kind = node.attributes().text("kind");
  if (std::find(std::begin(kKinds), std::end(kKinds), kind) == std::end(kKinds)) {
    return op_error(node, "kind '{}' is none of sum, mean, max, min, prod, any, all", kind);
  }
  if (kind == "mean") HR_TRY(require_float(node, 0));
  std::vector<bool> reduced(x.shape().size(), false);
  for (int64_t axis : node.attributes().integers("axes")) {
    if (axis < 0 || axis >= x.rank() || reduced[static_cast<size_t>(axis)]) {
      return op_error(node, "axes {} do not fit x, {}", headrace::to_text(node.attributes().integers("axes")),
                      to_text(x.type()));
    }
    reduced[static_cast<size_t>(axis)] = true;
  }
  const bool to_bool = kind == "any" || kind == "all";
  Type result{to_bool ? DType::kBool : x.dtype(), {}};
  for (size_t i = 0; i < reduced.size(); ++i) {
    if (!reduced[i]) result.shape.push_back(x.shape()[i]);
    if (reduced[i] && node.attributes().flag("keepdim")) result.shape.push_back(1);
  }
  return Types{std::move(result)};
}

Result<Types> infer_arg_reduce(const Node& node) {
  HR_TRY(require_present(node, {0}));
  const std::string kind = node.attributes().text("kind");
  if (kind != "max" && kind != "min") return op_error(node, "kind '{}' is neither max nor min", kind);
  HR_ASSIGN(const int64_t axis, require_axis(node, "axis", node.input(0)->rank()));
  Type result{DType::kI64, node.input(0)->shape()};
  if (node.attributes().flag("keepdim")) {
    result.shape[static_cast<size_t>(axis)] = 1;
  } else {
    result.shape.erase(result.shape.begin() + axis);
  }
  return Types{std::move(result)};
}

Result<Types> infer_cumsum(const Node& node) {
  HR_TRY(require_present(node, {0}));
  HR_TRY(require_axis(node, "axis", node.input(0)->rank()).status());
  return Types{node.input(0)->type()};
}

}  // namespace

std::vector<OpInfo> reduce_ops() {
  using enum AttributeKind;
  const AttributeInfo keepdim{"keepdim", kBool, false, "keep reduced dimensions as 1"};
  return {
      {"reduce",
       1,
       1,
       {{"kind", kText, true, "sum, mean, max, min, prod, any or all"},
        {"axes", kInts, true, "that go"},
        keepdim},
       infer_reduce,
       "Reduction over axes; any and all give bool. Float sums are computed in f32 at least."},
      {"arg_reduce",
       1,
       1,
       {{"kind", kText, true, "max or min"}, {"axis", kInt, true, "that goes"}, keepdim},
       infer_arg_reduce,
       "Index of the largest or smallest value, the first of equals; i64."},
      {"cumsum", 1, 1, {{"axis", kInt, true, "that is summed along"}}, infer_cumsum, "Running sum."},
  };
}

}  // namespace headrace::ir
