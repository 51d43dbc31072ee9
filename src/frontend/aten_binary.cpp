// Arithmetic of two or three operands, element by element, with PyTorch's promotion written as casts.
#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

using enum Pointwise;

std::string_view name_of(Pointwise function) { return info(function).name; }

DType common(std::initializer_list<Operand> operands) {
  return result_dtype(std::span(operands.begin(), operands.size()));
}

Emitted in_dtype(OpCall& c, Pointwise function, const Operand& a, const Operand& b, DType dtype) {
  return c.add(name_of(function), {as_dtype(c, a, dtype), as_dtype(c, b, dtype)});
}

template <Pointwise function>
Emitted promoted(OpCall& c) {
  const Operand a = c.operand("self"), b = c.operand("other");
  return in_dtype(c, function, a, b, common({a, b}));
}

// Of 16-bit floats, PyTorch rounds the left operand to the dtype, but not a number on the right.
Emitted with_factor(OpCall& c, Pointwise function, const Operand& a, const Operand& b, DType dtype) {
  const DType wide = opmath_dtype(dtype);
  if (wide == dtype || !is_rounded_by(b, dtype)) return in_dtype(c, function, a, b, dtype);
  const Emitted left = c.cast(as_dtype(c, a, dtype), wide);
  return c.cast(c.add(name_of(function), {left, as_dtype(c, b, wide)}), dtype);
}

Emitted mul(OpCall& c) {
  const Operand a = c.operand("self"), b = c.operand("other");
  const DType dtype = common({a, b});
  return with_factor(c, dtype == DType::kBool ? kLogicalAnd : kMul, a, b, dtype);
}

// function(a, alpha * b). Of 16-bit floats the numbers are rounded, but not the product.
Emitted scaled(OpCall& c, Pointwise function, const Operand& a, const Operand& b) {
  const DType dtype = common({a, b});
  const Scalar alpha = c.scalar("alpha");
  if (constant_of(alpha) == 1.0) {
    if (dtype == DType::kBool && function == kAdd) function = kLogicalOr;
    return in_dtype(c, function, a, b, dtype);
  }
  const DType wide = opmath_dtype(dtype);
  const auto widened = [&](const Operand& operand) { return c.cast(as_dtype(c, operand, dtype), wide); };
  const Emitted product = c.add("mul", {widened(b), widened(Operand{nullptr, alpha})});
  return c.cast(c.add(name_of(function), {widened(a), product}), dtype);
}

Emitted add(OpCall& c) { return scaled(c, kAdd, c.operand("self"), c.operand("other")); }
Emitted sub(OpCall& c) { return scaled(c, kSub, c.operand("self"), c.operand("other")); }
Emitted rsub(OpCall& c) { return scaled(c, kSub, c.operand("other"), c.operand("self")); }

Emitted div(OpCall& c) {
  const Operand a = c.operand("self"), b = c.operand("other");
  return with_factor(c, kDiv, a, b, float_dtype(common({a, b})));
}

// Of floats, the quotient as it is rounded to the dtype, or to f32 by a number, is truncated.
Emitted truncated_quotient(OpCall& c) {
  const Operand a = c.operand("self"), b = c.operand("other");
  const DType dtype = common({a, b});
  if (!is_float(dtype)) return in_dtype(c, kTruncDiv, a, b, dtype);
  const DType wide = is_rounded_by(b, dtype) ? opmath_dtype(dtype) : dtype;
  const Emitted left = c.cast(as_dtype(c, a, dtype), wide);
  return c.cast(c.add("trunc", {c.add("div", {left, as_dtype(c, b, wide)})}), dtype);
}

Emitted floor_divide(OpCall& c) {
  const Operand a = c.operand("self"), b = c.operand("other");
  return with_factor(c, kFloorDiv, a, b, common({a, b}));
}

Emitted div_mode(OpCall& c) {
  if (!c.has("rounding_mode")) return div(c);
  const std::string mode = c.text("rounding_mode");
  if (mode == "floor") return floor_divide(c);
  if (mode == "trunc") return truncated_quotient(c);
  return unsupported("rounding_mode = '{}' is not supported; None, 'floor' and 'trunc' are", mode);
}

// As PyTorch's kernels have it: of bf16 each step is rounded, of f16 the result.
Emitted cube(OpCall& c, Value* x) {
  const DType dtype = x->dtype(), wide = dtype == DType::kF16 ? DType::kF32 : dtype;
  HR_ASSIGN(Value * base, c.cast(x, wide));
  return c.cast(c.add("mul", {c.add("mul", {base, base}), base}), dtype);
}
Emitted reciprocal_square(OpCall& c, Value* x) {
  const DType dtype = x->dtype(), wide = dtype == DType::kF16 ? DType::kF32 : dtype;
  HR_ASSIGN(Value * base, c.cast(x, wide));
  return c.cast(c.add("reciprocal", {c.add("mul", {base, base})}), dtype);
}

Emitted power(OpCall& c, const Operand& base, const Operand& exponent) {
  const DType dtype = common({base, exponent});
  const std::optional<double> constant = exponent.tensor ? std::nullopt : constant_of(exponent.scalar);
  if (constant && base.tensor) {
    HR_ASSIGN(Value * x, c.cast(base.tensor, dtype));
    if (*constant == 1) return x;
    if (*constant == 2) return c.add("mul", {x, x});
    if (*constant == 3 && is_float(dtype)) return cube(c, x);
    if (*constant == -2 && is_float(dtype)) return reciprocal_square(c, x);
    if (*constant == 0.5 && is_float(dtype)) return c.add("sqrt", {x});
    if (*constant == -0.5 && is_float(dtype)) return c.add("rsqrt", {x});
    if (*constant == -1 && is_float(dtype)) return c.add("reciprocal", {x});
  }
  return in_dtype(c, kPow, base, exponent, dtype);
}
Emitted pow(OpCall& c) { return power(c, c.operand("self"), c.operand("exponent")); }

// A condition may be u8, as masks once were.
Emitted condition(OpCall& c, std::string_view name) { return c.cast(c.tensor(name), DType::kBool); }

Emitted where(OpCall& c) {
  const Operand a = c.operand("self"), b = c.operand("other");
  const DType dtype = common({a, b});
  return c.add("where", {condition(c, "condition"), as_dtype(c, a, dtype), as_dtype(c, b, dtype)});
}

Emitted masked_fill(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return c.add("where", {condition(c, "mask"), as_dtype(c, c.operand("value"), x->dtype()), x});
}

// self + value * a * b, and self + value * a / b.
Emitted add_product(OpCall& c, Pointwise function) {
  const Operand x = c.operand("self"), a = c.operand("tensor1"), b = c.operand("tensor2");
  const DType dtype = common({x, a, b});
  const DType wide = opmath_dtype(dtype);
  if (function == kDiv && !is_float(dtype)) return unsupported("integers are not supported; floats are");
  Emitted factor = as_dtype(c, a, wide);
  if (constant_of(c.scalar("value")) != 1.0) {
    factor = c.add("mul", {factor, c.number(wide, c.scalar("value"))});
  }
  const Emitted product = c.add(name_of(function), {factor, as_dtype(c, b, wide)});
  return c.cast(c.add("add", {as_dtype(c, x, wide), product}), dtype);
}
Emitted addcmul(OpCall& c) { return add_product(c, kMul); }
Emitted addcdiv(OpCall& c) { return add_product(c, kDiv); }

// start + weight * (end - start)
Emitted lerp(OpCall& c) {
  const Operand start = c.operand("self"), end = c.operand("end"), weight = c.operand("weight");
  const DType dtype = common({start, end});
  const DType wide = opmath_dtype(dtype);
  const Emitted from = as_dtype(c, start, wide);
  const Emitted way = c.add("sub", {as_dtype(c, end, wide), from});
  const Emitted part = c.add("mul", {as_dtype(c, weight, wide), way});
  return c.cast(c.add("add", {from, part}), dtype);
}

Emitted bounded(OpCall& c, const Operand* low, const Operand* high) {
  std::vector<Operand> all = {c.operand("self")};
  if (low) all.push_back(*low);
  if (high) all.push_back(*high);
  const DType dtype = result_dtype(all);
  Emitted x = as_dtype(c, all.front(), dtype);
  if (low) x = c.add("maximum", {x, as_dtype(c, *low, dtype)});
  if (high) x = c.add("minimum", {x, as_dtype(c, *high, dtype)});
  return x;
}

Emitted clamp(OpCall& c) {
  const Operand low = c.operand("min"), high = c.operand("max");
  return bounded(c, c.has("min") ? &low : nullptr, c.has("max") ? &high : nullptr);
}
Emitted clamp_min(OpCall& c) {
  const Operand low = c.operand("min");
  return bounded(c, &low, nullptr);
}
Emitted clamp_max(OpCall& c) {
  const Operand high = c.operand("max");
  return bounded(c, nullptr, &high);
}

// Floats too: 0 where y is 0, unless x is NaN.
Emitted xlogy(OpCall& c) {
  const Operand a = c.operand("self"), b = c.operand("other");
  const DType dtype = float_dtype(common({a, b}));
  const Emitted x = as_dtype(c, a, dtype), y = as_dtype(c, b, dtype);
  Value* zero = c.literal(dtype, 0);
  const Emitted is_zero = c.add("logical_and", {c.add("eq", {x, zero}), c.add("eq", {y, y})});
  return c.add("where", {is_zero, zero, c.add("mul", {x, c.add("log", {y})})});
}

constexpr Overload kRows[] = {
    {"add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", add},
    {"add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", add},
    {"sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", sub},
    {"sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", sub},
    {"rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", rsub},
    {"rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor", rsub},
    {"mul.Tensor(Tensor self, Tensor other) -> Tensor", mul},
    {"mul.Scalar(Tensor self, Scalar other) -> Tensor", mul},
    {"div.Tensor(Tensor self, Tensor other) -> Tensor", div},
    {"div.Scalar(Tensor self, Scalar other) -> Tensor", div},
    {"div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor", div_mode},
    {"div.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor", div_mode},
    {"true_divide.Tensor(Tensor self, Tensor other) -> Tensor", div},
    {"floor_divide(Tensor self, Tensor other) -> Tensor", floor_divide},
    {"floor_divide.Scalar(Tensor self, Scalar other) -> Tensor", floor_divide},
    {"remainder.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kRemainder>},
    {"remainder.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kRemainder>},
    {"fmod.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kFmod>},
    {"fmod.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kFmod>},
    {"pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor", pow},
    {"pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor", pow},
    {"pow.Scalar(Scalar self, Tensor exponent) -> Tensor", pow},
    {"minimum(Tensor self, Tensor other) -> Tensor", promoted<kMinimum>},
    {"maximum(Tensor self, Tensor other) -> Tensor", promoted<kMaximum>},
    {"min.other(Tensor self, Tensor other) -> Tensor", promoted<kMinimum>},
    {"max.other(Tensor self, Tensor other) -> Tensor", promoted<kMaximum>},
    {"where.self(Tensor condition, Tensor self, Tensor other) -> Tensor", where},
    {"where.ScalarOther(Tensor condition, Tensor self, Scalar other) -> Tensor", where},
    {"where.ScalarSelf(Tensor condition, Scalar self, Tensor other) -> Tensor", where},
    {"where.Scalar(Tensor condition, Scalar self, Scalar other) -> Tensor", where},
    {"masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor", masked_fill},
    {"masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor", masked_fill},
    {"addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor", addcmul},
    {"addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor", addcdiv},
    {"lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor", lerp},
    {"lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor", lerp},
    {"clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor", clamp},
    {"clamp.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor", clamp},
    {"clip(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor", clamp},
    {"clamp_min(Tensor self, Scalar min) -> Tensor", clamp_min},
    {"clamp_min.Tensor(Tensor self, Tensor min) -> Tensor", clamp_min},
    {"clamp_max(Tensor self, Scalar max) -> Tensor", clamp_max},
    {"clamp_max.Tensor(Tensor self, Tensor max) -> Tensor", clamp_max},
    {"xlogy.Tensor(Tensor self, Tensor other) -> Tensor", xlogy},
};

}  // namespace

std::span<const Overload> binary_overloads() { return kRows; }

}  // namespace headrace::frontend
