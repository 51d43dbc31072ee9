// Matrix products.
#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

// The IR's bias is one number a column.
bool is_row_bias(const Value* bias, const Value* columns, size_t axis) {
  return bias->rank() == 1 && bias->shape()[0] == columns->shape()[axis];
}

Emitted linear(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("input"));
  HR_ASSIGN(Value * weight, c.tensor("weight"));
  Value* bias = c.optional_tensor("bias");
  if (weight->rank() == 1) {  // one column, and none in the result
    HR_ASSIGN(weight, c.unsqueeze(weight, 0));
    HR_ASSIGN(Value * product, c.add("matmul", {x, weight}, {{"transpose_b", true}}));
    HR_ASSIGN(product, c.squeeze(product, product->rank() - 1));
    return bias ? c.add("add", {product, bias}) : Emitted(product);
  }
  const bool fits = !bias || is_row_bias(bias, weight, 0);
  if (x->rank() == 1) {
    HR_ASSIGN(x, c.unsqueeze(x, 0));
  }
  Emitted product = c.add("matmul", {x, weight, fits ? bias : nullptr}, {{"transpose_b", true}});
  if (!fits) product = c.add("add", {product, bias});
  return c.reshape(product, c.shape());
}

// PyTorch expands a shared matrix, often a weight, that the IR's product broadcasts by itself.
Value* shared_matrix(const Value* a, Value* b, const Shape& wanted) {
  if (!b->producer() || !b->producer()->is("expand")) return b;
  Value* source = b->producer()->input(0);
  const auto tail = [](const Value* x) { return Shape(x->shape().end() - 2, x->shape().end()); };
  if (source->rank() < 2 || tail(source) != tail(b) || wanted.size() < 2) return b;
  const auto leading = [](const Shape& shape) {
    return std::span<const Dim>(shape.data(), shape.size() - 2);
  };
  const Result<Shape> both = broadcast(leading(a->shape()), leading(source->shape()));
  const bool same = both.ok() && *both == Shape(wanted.begin(), wanted.end() - 2);
  return same ? source : b;
}

// torch.matmul: vectors get a dim of size 1, and lose it in the result.
Emitted product_of(OpCall& c, Value* a, Value* b) {
  if (a->rank() == 1) {
    HR_ASSIGN(a, c.unsqueeze(a, 0));
  }
  if (b->rank() == 1) {
    HR_ASSIGN(b, c.unsqueeze(b, 1));
  }
  return c.reshape(c.add("matmul", {a, shared_matrix(a, b, c.shape())}), c.shape());
}

Emitted matmul(OpCall& c) {
  HR_ASSIGN(Value * a, c.tensor("self"));
  HR_ASSIGN(Value * b, c.tensor("other"));
  return product_of(c, a, b);
}

template <const char* const& second>
Emitted matrices(OpCall& c) {
  HR_ASSIGN(Value * a, c.tensor("self"));
  HR_ASSIGN(Value * b, c.tensor(second));
  return product_of(c, a, b);
}
constexpr const char* kMat2 = "mat2";
constexpr const char* kVec = "vec";
constexpr const char* kTensor = "tensor";

// beta * self + alpha * (a @ b)
Emitted plus_product(OpCall& c, std::string_view a_name, std::string_view b_name) {
  HR_ASSIGN(Value * bias, c.tensor("self"));
  HR_ASSIGN(Value * a, c.tensor(a_name));
  HR_ASSIGN(Value * b, c.tensor(b_name));
  const bool plain = constant_of(c.scalar("beta")) == 1.0 && constant_of(c.scalar("alpha")) == 1.0;
  const DType dtype = a->dtype();
  const bool matrices = b->rank() >= 2;
  if (plain && matrices && is_row_bias(bias, b, static_cast<size_t>(b->rank() - 1)))
    return c.add("matmul", {a, b, bias});
  if (plain && matrices && bias->shape() == c.shape()) return c.add("matmul", {a, b, nullptr, bias});
  const DType wide = plain ? dtype : opmath_dtype(dtype);
  const auto scaled = [&](Input value, std::string_view by) -> Emitted {
    HR_ASSIGN(Value * term, c.cast(value, wide));
    if (constant_of(c.scalar(by)) == 1.0) return term;
    return c.add("mul", {term, c.number(wide, c.scalar(by))});
  };
  const Emitted product = scaled(product_of(c, a, b), "alpha");
  if (constant_of(c.scalar("beta")) == 0.0)
    return c.cast(product, dtype);  // self may be NaN: it does not count
  return c.cast(c.add("add", {product, scaled(bias, "beta")}), dtype);
}

Emitted addmm(OpCall& c) { return plus_product(c, "mat1", "mat2"); }
Emitted baddbmm(OpCall& c) { return plus_product(c, "batch1", "batch2"); }
Emitted addmv(OpCall& c) { return plus_product(c, "mat", "vec"); }

Emitted outer(OpCall& c) {
  HR_ASSIGN(Value * a, c.tensor("self"));
  return c.add("mul", {c.unsqueeze(a, 1), c.tensor("vec2")});
}

constexpr Overload kRows[] = {
    {"linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor", linear},
    {"matmul(Tensor self, Tensor other) -> Tensor", matmul},
    {"mm(Tensor self, Tensor mat2) -> Tensor", matrices<kMat2>},
    {"bmm(Tensor self, Tensor mat2) -> Tensor", matrices<kMat2>},
    {"mv(Tensor self, Tensor vec) -> Tensor", matrices<kVec>},
    {"dot(Tensor self, Tensor tensor) -> Tensor", matrices<kTensor>},
    {"outer(Tensor self, Tensor vec2) -> Tensor", outer},
    {"addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", addmm},
    {"addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor", addmv},
    {"baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
     baddbmm},
};

}  // namespace

std::span<const Overload> matmul_overloads() { return kRows; }

}  // namespace headrace::frontend
