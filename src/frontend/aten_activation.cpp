// Activations, and what is made of them.
#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

using enum Pointwise;

template <Pointwise function>
Emitted simple(OpCall& c) {
  return c.add(info(function).name, {c.tensor("self")});
}

// A number as a literal of the tensor's dtype.
Emitted like(OpCall& c, Value* x, std::string_view name) { return c.number(x->dtype(), c.scalar(name)); }

Emitted gelu(OpCall& c) {
  const std::string approximate = c.text("approximate");
  if (approximate == "none") return c.add("gelu", {c.tensor("self")});
  if (approximate == "tanh") return c.add("gelu_tanh", {c.tensor("self")});
  return unsupported("approximate = '{}' is not supported; 'none' and 'tanh' are", approximate);
}

Emitted clamp_between(OpCall& c, Input x, Input low, Input high) {
  return c.add("minimum", {c.add("maximum", {x, low}), high});
}

Emitted hardtanh(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return clamp_between(c, x, like(c, x, "min_val"), like(c, x, "max_val"));
}

Emitted relu6(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return clamp_between(c, x, c.literal(x->dtype(), 0), c.literal(x->dtype(), 6));
}

// A function of a tensor and a number that PyTorch does not round to the tensor's dtype.
Emitted with_number(OpCall& c, std::string_view function, Value* x, const Scalar& number) {
  const DType dtype = x->dtype(),
              wide = is_rounded_by({nullptr, number}, dtype) ? opmath_dtype(dtype) : dtype;
  return c.cast(c.add(function, {c.cast(x, wide), c.number(wide, number)}), dtype);
}

Emitted leaky_relu(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return with_number(c, "leaky_relu", x, c.scalar("negative_slope"));
}

// (x > 0 ? x : weight * x), one weight a channel.
Emitted prelu(OpCall& c, std::string_view weight_name) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(Value * weight, c.tensor(weight_name));
  if (weight->rank() == 1 && x->rank() >= 2) {
    Shape shape(static_cast<size_t>(x->rank()), Dim(1));
    shape[1] = weight->shape()[0];
    HR_ASSIGN(weight, c.reshape(weight, shape));
  }
  const Emitted positive = c.add("gt", {x, c.literal(x->dtype(), 0)});
  return c.add("where", {positive, x, c.add("mul", {x, weight})});
}
Emitted prelu_of_channels(OpCall& c) { return prelu(c, "weight"); }

// scale * (x > 0 ? x : alpha * (exp(x * input_scale) - 1))
Emitted elu_formula(OpCall& c, double alpha, double scale, double input_scale) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const DType dtype = x->dtype();
  if (scale == 1 && input_scale == 1) return with_number(c, "elu", x, alpha);
  const DType wide = dtype == DType::kF64 ? dtype : DType::kF32;
  HR_ASSIGN(x, c.cast(x, wide));
  const Emitted negative = c.add("expm1", {c.add("mul", {x, c.literal(wide, input_scale)})});
  const Emitted positive = c.add("gt", {x, c.literal(wide, 0)});
  return c.cast(c.add("where", {positive, c.add("mul", {x, c.literal(wide, scale)}),
                                c.add("mul", {negative, c.literal(wide, alpha * scale)})}),
                dtype);
}

Emitted elu(OpCall& c) {
  HR_ASSIGN(const double alpha, c.constant("alpha"));
  HR_ASSIGN(const double scale, c.constant("scale"));
  HR_ASSIGN(const double input_scale, c.constant("input_scale"));
  return elu_formula(c, alpha, scale, input_scale);
}
Emitted celu(OpCall& c) {
  HR_ASSIGN(const double alpha, c.constant("alpha"));
  return elu_formula(c, alpha, 1, 1 / alpha);
}
Emitted selu(OpCall& c) { return elu_formula(c, 1.6732632423543772848, 1.0507009873554804934, 1); }

Emitted softplus(OpCall& c) {
  HR_ASSIGN(const double beta, c.constant("beta"));
  HR_ASSIGN(const double threshold, c.constant("threshold"));
  HR_ASSIGN(Value * x, c.tensor("self"));
  if (beta == 1 && threshold == 20) return c.add("softplus", {x});
  const DType dtype = x->dtype(), wide = dtype == DType::kF64 ? dtype : DType::kF32;
  HR_ASSIGN(x, c.cast(x, wide));
  Value* factor = c.literal(wide, beta);
  const Emitted scaled = c.add("mul", {x, factor});
  const Emitted soft = c.add("div", {c.add("log1p", {c.add("exp", {scaled})}), factor});
  const Emitted linear = c.add("gt", {scaled, c.literal(wide, threshold)});
  return c.cast(c.add("where", {linear, x, soft}), dtype);
}

// -softplus(-x), without softplus's threshold: log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|)).
Emitted log_sigmoid(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const DType dtype = x->dtype(), wide = dtype == DType::kF64 ? dtype : DType::kF32;
  HR_ASSIGN(x, c.cast(x, wide));
  const Emitted tail = c.add("log1p", {c.add("exp", {c.add("neg", {c.add("abs", {x})})})});
  return c.cast(c.add("sub", {c.add("minimum", {x, c.literal(wide, 0)}), tail}), dtype);
}

// x where |x| > lambd, else 0; and with x moved towards 0 by lambd.
Emitted shrink(OpCall& c, bool soft) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(Value * bound, like(c, x, "lambd"));
  const Emitted outside = c.add("gt", {c.add("abs", {x}), bound});
  const Emitted kept = soft ? c.add("sub", {x, c.add("mul", {c.add("sign", {x}), bound})}) : Emitted(x);
  return c.add("where", {outside, kept, c.literal(x->dtype(), 0)});
}
Emitted hardshrink(OpCall& c) { return shrink(c, false); }
Emitted softshrink(OpCall& c) { return shrink(c, true); }

Emitted threshold(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const DType wide = opmath_dtype(x->dtype());
  const Emitted above = c.add("gt", {c.cast(x, wide), c.number(wide, c.scalar("threshold"))});
  return c.add("where", {above, x, like(c, x, "value")});
}

Emitted glu(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  const Dim whole = x->shape()[static_cast<size_t>(axis)], half = Dim::floor_div(whole, 2);
  const DType wide = opmath_dtype(x->dtype());  // the gate is not rounded
  const Emitted gate = c.add("sigmoid", {c.cast(c.slice(x, axis, half, whole), wide)});
  return c.cast(c.add("mul", {c.cast(c.slice(x, axis, 0, half), wide), gate}), x->dtype());
}

constexpr Overload kRows[] = {
    {"relu(Tensor self) -> Tensor", simple<kRelu>},
    {"relu6(Tensor self) -> Tensor", relu6},
    {"silu(Tensor self) -> Tensor", simple<kSilu>},
    {"mish(Tensor self) -> Tensor", simple<kMish>},
    {"hardswish(Tensor self) -> Tensor", simple<kHardswish>},
    {"hardsigmoid(Tensor self) -> Tensor", simple<kHardsigmoid>},
    {"gelu(Tensor self, *, str approximate=\"none\") -> Tensor", gelu},
    {"hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor", hardtanh},
    {"leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor", leaky_relu},
    {"prelu(Tensor self, Tensor weight) -> Tensor", prelu_of_channels},
    {"_prelu_kernel(Tensor self, Tensor weight) -> Tensor", prelu_of_channels},
    {"elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor", elu},
    {"celu(Tensor self, Scalar alpha=1.) -> Tensor", celu},
    {"selu(Tensor self) -> Tensor", selu},
    {"softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor", softplus},
    {"log_sigmoid(Tensor self) -> Tensor", log_sigmoid},
    {"hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor", hardshrink},
    {"softshrink(Tensor self, Scalar lambd=0.5) -> Tensor", softshrink},
    {"threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor", threshold},
    {"glu(Tensor self, int dim=-1) -> Tensor", glu},
};

}  // namespace

std::span<const Overload> activation_overloads() { return kRows; }

}  // namespace headrace::frontend
