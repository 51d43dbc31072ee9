// Matrix products and attention.
#include "ir/infer.h"

namespace headrace::ir {
namespace {

std::span<const Dim> leading(const Shape& shape) { return std::span(shape).first(shape.size() - 2); }

Result<Types> infer_matmul(const Node& node) {
  HR_TRY(require_present(node, {0, 1}));
  HR_TRY(require_same_dtype(node, {0, 1, 2}));
  const Value &a = *node.input(0), &b = *node.input(1);
  if (a.rank() < 2 || b.rank() < 2) {
    return op_error(node, "a is {}, b is {}; both need two dimensions at least", to_text(a.type()),
                    to_text(b.type()));
  }
  const bool transposed = node.attributes().flag("transpose_b");
  const Dim& k = b.shape()[b.rank() - (transposed ? 1 : 2)];
  const Dim& n = b.shape()[b.rank() - (transposed ? 2 : 1)];
  if (!(a.shape().back() == k)) {
    return op_error(node, "inner sizes differ: a is {}, b is {}; a's last must equal b's {}",
                    to_text(a.type()), to_text(b.type()), transposed ? "last" : "second to last");
  }
  const Result<Shape> lead = broadcast(leading(a.shape()), leading(b.shape()));
  if (!lead.ok()) return op_error(node, "{}", lead.status().message());
  Type result{a.dtype(), *lead};
  result.shape.push_back(a.shape()[a.rank() - 2]);
  result.shape.push_back(n);
  const Value* bias = node.input(2);
  if (bias != nullptr && bias->shape() != Shape{n}) {
    return op_error(node, "bias is {}; it must be [{}]", to_text(bias->type()), n.text());
  }
  HR_TRY(check_epilogue(node, 3, result, true));
  return Types{std::move(result)};
}

Result<Types> infer_attention(const Node& node) {
  HR_TRY(require_present(node, {0, 1, 2}));
  HR_TRY(require_same_dtype(node, {0, 1, 2}));
  HR_TRY(require_float(node, 0));
  const Value &q = *node.input(0), &k = *node.input(1), &v = *node.input(2);
  const auto shapes = [&] {
    return fmt::format("q is {}, k is {}, v is {}", to_text(q.type()), to_text(k.type()), to_text(v.type()));
  };
  const int64_t rank = q.rank();
  if (rank < 3 || k.rank() != rank || v.rank() != rank) {
    return op_error(node, "{}; all need one rank, of 3 at least", shapes());
  }
  const auto dim = [&](const Value& value, int64_t from_end) { return value.shape()[rank - from_end]; };
  for (int64_t i = 0; i < rank - 3; ++i) {
    if (!(q.shape()[i] == k.shape()[i]) || !(q.shape()[i] == v.shape()[i])) {
      return op_error(node, "{}; the leading dimensions must be equal", shapes());
    }
  }
  if (!(dim(q, 1) == dim(k, 1)) || !(dim(k, 2) == dim(v, 2)) || !(dim(k, 3) == dim(v, 3)) ||
      !(Dim::mod(dim(q, 3), dim(k, 3)) == Dim(0))) {
    return op_error(node, "{}; q is [.., H, S, D], k [.., G, T, D], v [.., G, T, E], and G divides H",
                    shapes());
  }
  Shape shape = q.shape();
  shape.back() = dim(v, 1);
  if (const Value* mask = node.input(3)) {
    Shape scores = q.shape();
    scores.back() = dim(k, 2);
    const Result<Shape> joined = broadcast(scores, mask->shape());
    if (!joined.ok() || *joined != scores) {
      return op_error(node, "mask is {}; it must broadcast to {}", to_text(mask->type()),
                      headrace::to_text(scores));
    }
    if (mask->dtype() != DType::kBool && mask->dtype() != q.dtype()) {
      return op_error(node, "mask is {}; it must be bool or {}", to_text(mask->type()),
                      dtype_name(q.dtype()));
    }
  }
  return Types{{q.dtype(), std::move(shape)}};
}

}  // namespace

std::vector<OpInfo> product_ops() {
  using enum AttributeKind;
  return {
      {"matmul",
       2,
       4,
       {{"transpose_b", kBool, false, "b is [.., N, K]"},
        {"epilogue", kText, false, "a unary function of the sum"}},
       infer_matmul,
       "epilogue(a·b + bias + residual) over the last two dimensions; leading dimensions broadcast."},
      {"attention",
       3,
       4,
       {{"scale", kFloat, true, "of q kᵀ"}, {"causal", kBool, false, "query i sees keys j <= i"}},
       infer_attention,
       "softmax(scale · q kᵀ + mask) v by heads; fewer key heads are shared by groups of query heads."},
  };
}

}  // namespace headrace::ir
