// Softmax and attention.
#include <cmath>

#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

Emitted softmax_of(OpCall& c, bool log, std::optional<DType> dtype) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  const Shape shape = x->shape();
  if (shape.empty()) {
    HR_ASSIGN(x, c.unsqueeze(x, 0));
  }
  const Emitted typed = c.cast(x, dtype.value_or(float_dtype(x->dtype())));
  return c.reshape(c.add("softmax", {typed}, {{"axis", axis}, {"log", log}}), shape);
}

Emitted softmax(OpCall& c) { return softmax_of(c, false, c.dtype("dtype")); }
Emitted log_softmax(OpCall& c) { return softmax_of(c, true, c.dtype("dtype")); }

// "half to float" casts first.
Emitted core_softmax(OpCall& c) { return softmax_of(c, false, c.result().dtype); }
Emitted core_log_softmax(OpCall& c) { return softmax_of(c, true, c.result().dtype); }

// 0, not NaN, where all of a row is -inf.
Emitted safe_softmax(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  HR_ASSIGN(Value * weights, softmax(c));
  const Emitted lowest = c.add("eq", {x, c.literal(x->dtype(), -INFINITY)});
  const Emitted none = c.reduce("all", lowest, {axis}, true);
  return c.add("where", {none, c.literal(weights->dtype(), 0), weights});
}

Shape leading_dims(const Value* x) { return Shape(x->shape().begin(), x->shape().end() - 2); }

// [.., H] of the result, never empty. k and v may have fewer heads than q where they are grouped.
Result<Shape> all_leading_dims(const Value* q, const Value* k, const Value* v, bool grouped) {
  Shape all = leading_dims(q);
  for (const Value* x : {k, v}) {
    Shape own = leading_dims(x);
    if (grouped && !own.empty() && !all.empty()) own.back() = all.back();
    HR_ASSIGN(all, broadcast(std::span<const Dim>(all), std::span<const Dim>(own)));
  }
  if (all.empty()) all.push_back(1);
  return all;
}

// The IR wants equal leading dims, but for the heads of k and v.
Emitted with_leading_dims(OpCall& c, Value* x, Shape leading, bool own_heads) {
  if (own_heads) leading.back() = x->rank() > 2 ? x->shape()[static_cast<size_t>(x->rank() - 3)] : Dim(1);
  leading.insert(leading.end(), x->shape().end() - 2, x->shape().end());
  return c.expand(x, leading);
}

Emitted attention(OpCall& c) {
  HR_ASSIGN(Value * q, c.tensor("query"));
  HR_ASSIGN(Value * k, c.tensor("key"));
  HR_ASSIGN(Value * v, c.tensor("value"));
  Value* mask = c.optional_tensor("attn_mask");
  if (q->rank() < 2 || k->rank() < 2 || v->rank() < 2)
    return unsupported("a query, key or value of rank < 2");
  if (const double p = c.real("dropout_p"); p != 0) {
    return unsupported("dropout_p = {} is not supported; 0 is (export the model in eval mode)", p);
  }
  const Dim depth = q->shape().back();
  if (!c.has("scale") && !depth.is_constant()) return unsupported("a head size that varies needs a scale");
  const double scale =
      c.has("scale") ? c.real("scale") : 1 / std::sqrt(static_cast<double>(depth.constant()));
  if (mask && mask->dtype() != DType::kBool) {
    HR_ASSIGN(mask, c.cast(mask, q->dtype()));
  }
  HR_ASSIGN(const Shape leading, all_leading_dims(q, k, v, c.flag("enable_gqa")));
  HR_ASSIGN(q, with_leading_dims(c, q, leading, false));
  HR_ASSIGN(k, with_leading_dims(c, k, leading, true));
  HR_ASSIGN(v, with_leading_dims(c, v, leading, true));
  return c.reshape(c.add("attention", {q, k, v, mask}, {{"scale", scale}, {"causal", c.flag("is_causal")}}),
                   c.shape());
}

constexpr Overload kRows[] = {
    {"softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", softmax},
    {"log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", log_softmax},
    {"_softmax(Tensor self, int dim, bool half_to_float) -> Tensor", core_softmax},
    {"_log_softmax(Tensor self, int dim, bool half_to_float) -> Tensor", core_log_softmax},
    {"_safe_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", safe_softmax},
    {"scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, "
     "float dropout_p=0., bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor",
     attention},
};

}  // namespace

std::span<const Overload> attention_overloads() { return kRows; }

}  // namespace headrace::frontend
