// Functions of one tensor, element by element.
#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

using enum Pointwise;

std::string_view name_of(Pointwise function) { return info(function).name; }

// Integers become floats first.
template <Pointwise function>
Emitted of_float(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return c.add(name_of(function), {c.cast(x, float_dtype(x->dtype()))});
}

template <Pointwise function>
Emitted of_any(OpCall& c) {
  return c.add(name_of(function), {c.tensor("self")});
}

// Integers are as rounded as they can be.
template <Pointwise function>
Emitted rounding(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (!is_float(x->dtype())) return x;
  return c.add(name_of(function), {x});
}

// A formula in f32 (or f64), rounded once at the end.
template <class F>
Emitted in_wide(OpCall& c, F formula) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const DType wide = x->dtype() == DType::kF64 ? DType::kF64 : DType::kF32;
  HR_ASSIGN(x, c.cast(x, wide));
  return c.cast(formula(x, [&](double number) { return c.literal(wide, number); }), c.result().dtype);
}

constexpr double kLn2 = 0.69314718055994530942, kLn10 = 2.30258509299404568402;

Emitted exp2(OpCall& c) {
  return in_wide(c, [&](Value* x, auto number) { return c.add("exp", {c.add("mul", {x, number(kLn2)})}); });
}
Emitted log2(OpCall& c) {
  return in_wide(c, [&](Value* x, auto number) { return c.add("div", {c.add("log", {x}), number(kLn2)}); });
}
Emitted log10(OpCall& c) {
  return in_wide(c, [&](Value* x, auto number) { return c.add("div", {c.add("log", {x}), number(kLn10)}); });
}
Emitted erfc(OpCall& c) {
  return in_wide(c, [&](Value* x, auto number) { return c.add("sub", {number(1), c.add("erf", {x})}); });
}
Emitted square(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return c.add("mul", {x, x});
}
Emitted sinh(OpCall& c) {
  return in_wide(c, [&](Value* x, auto number) {
    const Emitted up = c.add("exp", {x}), down = c.add("exp", {c.add("neg", {x})});
    return c.add("mul", {c.add("sub", {up, down}), number(0.5)});
  });
}
Emitted cosh(OpCall& c) {
  return in_wide(c, [&](Value* x, auto number) {
    const Emitted up = c.add("exp", {x}), down = c.add("exp", {c.add("neg", {x})});
    return c.add("mul", {c.add("add", {up, down}), number(0.5)});
  });
}
Emitted atan(OpCall& c) {
  return in_wide(c, [&](Value* x, auto number) { return c.add("atan2", {x, number(1)}); });
}

// sqrt(1 - x^2)
Emitted other_leg(OpCall& c, Value* x, Value* one) {
  return c.add("sqrt", {c.add("sub", {one, c.add("mul", {x, x})})});
}
Emitted asin(OpCall& c) {
  return in_wide(c, [&](Value* x, auto number) { return c.add("atan2", {x, other_leg(c, x, number(1))}); });
}
Emitted acos(OpCall& c) {
  return in_wide(c, [&](Value* x, auto number) { return c.add("atan2", {other_leg(c, x, number(1)), x}); });
}
Emitted frac(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return c.add("sub", {x, c.add("trunc", {x})});
}

template <Pointwise function>
Emitted test_float(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (is_float(x->dtype())) return c.add(name_of(function), {x});
  return c.full(x->shape(), DType::kBool, false);  // no integer is infinite, none is NaN
}

Emitted is_finite(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (!is_float(x->dtype())) return c.full(x->shape(), DType::kBool, true);
  return c.add("logical_not", {c.add("logical_or", {c.add("is_inf", {x}), c.add("is_nan", {x})})});
}

Emitted logical_not(OpCall& c) { return c.add("logical_not", {c.tensor("self")}); }

Emitted nan_to_num(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (!is_float(x->dtype())) return x;
  const double largest = x->dtype() == DType::kF16    ? 65504.0
                         : x->dtype() == DType::kBF16 ? 3.3895313892515355e38
                         : x->dtype() == DType::kF32  ? 3.4028234663852886e38
                                                      : 1.7976931348623157e308;
  const auto given = [&](const char* name, double fallback) {
    return c.literal(x->dtype(), c.has(name) ? c.real(name) : fallback);
  };
  Value* zero = c.literal(x->dtype(), 0);
  const Emitted infinite = c.add("is_inf", {x}), positive = c.add("gt", {x, zero});
  const Emitted limit = c.add("where", {positive, given("posinf", largest), given("neginf", -largest)});
  const Emitted finite = c.add("where", {infinite, limit, x});
  return c.add("where", {c.add("is_nan", {x}), given("nan", 0), finite});
}

constexpr Overload kRows[] = {
    {"neg(Tensor self) -> Tensor", of_any<kNeg>},
    {"abs(Tensor self) -> Tensor", of_any<kAbs>},
    {"sign(Tensor self) -> Tensor", of_any<kSign>},
    {"sgn(Tensor self) -> Tensor", of_any<kSign>},
    {"square(Tensor self) -> Tensor", square},
    {"exp(Tensor self) -> Tensor", of_float<kExp>},
    {"exp2(Tensor self) -> Tensor", exp2},
    {"expm1(Tensor self) -> Tensor", of_float<kExpm1>},
    {"log(Tensor self) -> Tensor", of_float<kLog>},
    {"log1p(Tensor self) -> Tensor", of_float<kLog1p>},
    {"log2(Tensor self) -> Tensor", log2},
    {"log10(Tensor self) -> Tensor", log10},
    {"sqrt(Tensor self) -> Tensor", of_float<kSqrt>},
    {"rsqrt(Tensor self) -> Tensor", of_float<kRsqrt>},
    {"reciprocal(Tensor self) -> Tensor", of_float<kReciprocal>},
    {"sin(Tensor self) -> Tensor", of_float<kSin>},
    {"cos(Tensor self) -> Tensor", of_float<kCos>},
    {"tan(Tensor self) -> Tensor", of_float<kTan>},
    {"asin(Tensor self) -> Tensor", asin},
    {"acos(Tensor self) -> Tensor", acos},
    {"atan(Tensor self) -> Tensor", atan},
    {"sinh(Tensor self) -> Tensor", sinh},
    {"cosh(Tensor self) -> Tensor", cosh},
    {"tanh(Tensor self) -> Tensor", of_float<kTanh>},
    {"erf(Tensor self) -> Tensor", of_float<kErf>},
    {"erfc(Tensor self) -> Tensor", erfc},
    {"sigmoid(Tensor self) -> Tensor", of_float<kSigmoid>},
    {"floor(Tensor self) -> Tensor", rounding<kFloor>},
    {"ceil(Tensor self) -> Tensor", rounding<kCeil>},
    {"round(Tensor self) -> Tensor", rounding<kRound>},
    {"trunc(Tensor self) -> Tensor", rounding<kTrunc>},
    {"frac(Tensor self) -> Tensor", frac},
    {"bitwise_not(Tensor self) -> Tensor", of_any<kBitwiseNot>},
    {"logical_not(Tensor self) -> Tensor", logical_not},
    {"isnan(Tensor self) -> Tensor", test_float<kIsNan>},
    {"isinf(Tensor self) -> Tensor", test_float<kIsInf>},
    {"isfinite(Tensor self) -> Tensor", is_finite},
    {"nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor",
     nan_to_num},
};

}  // namespace

std::span<const Overload> unary_overloads() { return kRows; }

}  // namespace headrace::frontend
