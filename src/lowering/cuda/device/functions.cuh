// The pointwise functions, of float, double, i32 and i64. Integers wrap; a division by 0 gives 0.
#define HR_FLOAT_FUNCTION(name, in_float, in_double) \
  DEVICE float name(float x) { return in_float(x); } \
  DEVICE double name(double x) { return in_double(x); }
HR_FLOAT_FUNCTION(fn_exp, expf, exp)
HR_FLOAT_FUNCTION(fn_expm1, expm1f, expm1)
HR_FLOAT_FUNCTION(fn_log, logf, log)
HR_FLOAT_FUNCTION(fn_log1p, log1pf, log1p)
HR_FLOAT_FUNCTION(fn_sqrt, sqrtf, sqrt)
HR_FLOAT_FUNCTION(fn_sin, sinf, sin)
HR_FLOAT_FUNCTION(fn_cos, cosf, cos)
HR_FLOAT_FUNCTION(fn_tan, tanf, tan)
HR_FLOAT_FUNCTION(fn_tanh, tanhf, tanh)
HR_FLOAT_FUNCTION(fn_erf, erff, erf)
HR_FLOAT_FUNCTION(erfc_of, erfcf, erfc)
HR_FLOAT_FUNCTION(fn_floor, floorf, floor)
HR_FLOAT_FUNCTION(fn_ceil, ceilf, ceil)
HR_FLOAT_FUNCTION(fn_round, rintf, rint)
HR_FLOAT_FUNCTION(fn_trunc, truncf, trunc)
HR_FLOAT_FUNCTION(abs_of, fabsf, fabs)
#undef HR_FLOAT_FUNCTION
DEVICE float fmod_of(float a, float b) { return fmodf(a, b); }
DEVICE double fmod_of(double a, double b) { return fmod(a, b); }
DEVICE float copysign_of(float a, float b) { return copysignf(a, b); }
DEVICE double copysign_of(double a, double b) { return copysign(a, b); }
DEVICE float fn_atan2(float a, float b) { return atan2f(a, b); }
DEVICE double fn_atan2(double a, double b) { return atan2(a, b); }
DEVICE float fn_pow(float a, float b) { return powf(a, b); }
DEVICE double fn_pow(double a, double b) { return pow(a, b); }

DEVICE i32 wrap_add(i32 a, i32 b) { return static_cast<i32>(static_cast<unsigned>(a) + static_cast<unsigned>(b)); }
DEVICE i64 wrap_add(i64 a, i64 b) {
  return static_cast<i64>(static_cast<unsigned long long>(a) + static_cast<unsigned long long>(b));
}
DEVICE i32 wrap_sub(i32 a, i32 b) { return static_cast<i32>(static_cast<unsigned>(a) - static_cast<unsigned>(b)); }
DEVICE i64 wrap_sub(i64 a, i64 b) {
  return static_cast<i64>(static_cast<unsigned long long>(a) - static_cast<unsigned long long>(b));
}
DEVICE i32 wrap_mul(i32 a, i32 b) { return static_cast<i32>(static_cast<unsigned>(a) * static_cast<unsigned>(b)); }
DEVICE i64 wrap_mul(i64 a, i64 b) {
  return static_cast<i64>(static_cast<unsigned long long>(a) * static_cast<unsigned long long>(b));
}
DEVICE float wrap_add(float a, float b) { return a + b; }
DEVICE float wrap_sub(float a, float b) { return a - b; }
DEVICE float wrap_mul(float a, float b) { return a * b; }
DEVICE double wrap_add(double a, double b) { return a + b; }
DEVICE double wrap_sub(double a, double b) { return a - b; }
DEVICE double wrap_mul(double a, double b) { return a * b; }

template <class A> DEVICE bool is_nan(A x) { return x != x; }
template <class A> DEVICE A fn_add(A a, A b) { return wrap_add(a, b); }
template <class A> DEVICE A fn_sub(A a, A b) { return wrap_sub(a, b); }
template <class A> DEVICE A fn_mul(A a, A b) { return wrap_mul(a, b); }
template <class A> DEVICE A fn_div(A a, A b) { return a / b; }

DEVICE float fn_neg(float x) { return -x; }
DEVICE double fn_neg(double x) { return -x; }
DEVICE i32 fn_neg(i32 x) { return wrap_sub(0, x); }
DEVICE i64 fn_neg(i64 x) { return wrap_sub(i64(0), x); }
DEVICE float fn_abs(float x) { return abs_of(x); }
DEVICE double fn_abs(double x) { return abs_of(x); }
DEVICE i32 fn_abs(i32 x) { return x < 0 ? fn_neg(x) : x; }
DEVICE i64 fn_abs(i64 x) { return x < 0 ? fn_neg(x) : x; }
template <class A> DEVICE A fn_sign(A x) { return A((x > A(0)) - (x < A(0))); }
DEVICE i32 fn_floor(i32 x) { return x; }
DEVICE i64 fn_floor(i64 x) { return x; }
DEVICE i32 fn_ceil(i32 x) { return x; }
DEVICE i64 fn_ceil(i64 x) { return x; }
DEVICE i32 fn_round(i32 x) { return x; }
DEVICE i64 fn_round(i64 x) { return x; }
DEVICE i32 fn_trunc(i32 x) { return x; }
DEVICE i64 fn_trunc(i64 x) { return x; }

DEVICE float fn_rsqrt(float x) { return 1.0f / sqrtf(x); }
DEVICE double fn_rsqrt(double x) { return 1.0 / sqrt(x); }
template <class A> DEVICE A fn_reciprocal(A x) { return A(1) / x; }
template <class A> DEVICE A fn_sigmoid(A x) { return A(1) / (A(1) + fn_exp(-x)); }
template <class A> DEVICE A fn_relu(A x) { return x > A(0) || is_nan(x) ? x : A(0); }
template <class A> DEVICE A fn_gelu(A x) { return A(0.5) * x * erfc_of(-x * A(0.7071067811865476)); }
template <class A> DEVICE A fn_gelu_tanh(A x) {
  return A(0.5) * x * (A(1) + fn_tanh(A(0.7978845608028654) * (x + A(0.044715) * x * x * x)));
}
template <class A> DEVICE A fn_silu(A x) { return x / (A(1) + fn_exp(-x)); }
template <class A> DEVICE A fn_softplus(A x) { return x > A(20) ? x : fn_log1p(fn_exp(x)); }
template <class A> DEVICE A fn_mish(A x) { return x * fn_tanh(fn_softplus(x)); }
template <class A> DEVICE A fn_hardsigmoid(A x) {
  if (is_nan(x)) return x;
  const A up = x + A(3);
  return (up < A(0) ? A(0) : up > A(6) ? A(6) : up) / A(6);
}
template <class A> DEVICE A fn_hardswish(A x) { return x * fn_hardsigmoid(x); }
template <class A> DEVICE i32 fn_is_nan(A x) { return is_nan(x); }
DEVICE i32 fn_is_inf(float x) { return abs_of(x) == infinity(); }
DEVICE i32 fn_is_inf(double x) { return abs_of(x) == static_cast<double>(infinity()); }
DEVICE i32 fn_is_inf(i32) { return 0; }
DEVICE i32 fn_is_inf(i64) { return 0; }
template <class A> DEVICE i32 fn_logical_not(A x) { return x == A(0); }
template <class A> DEVICE A fn_bitwise_not(A x) { return ~x; }

DEVICE i32 quotient(i32 a, i32 b) { return b == 0 ? 0 : b == -1 ? fn_neg(a) : a / b; }
DEVICE i64 quotient(i64 a, i64 b) { return b == 0 ? 0 : b == -1 ? fn_neg(a) : a / b; }
template <class A> DEVICE A rest_of(A a, A b) { return b == 0 || b == -1 ? A(0) : a % b; }
template <class A> DEVICE A floor_div_float(A a, A b) {
  if (b == A(0)) return a / b;
  const A rest = fmod_of(a, b);
  A whole = (a - rest) / b;
  if (rest != A(0) && (b < A(0)) != (rest < A(0))) whole -= A(1);
  if (whole == A(0)) return copysign_of(A(0), a / b);
  const A low = fn_floor(whole);
  return whole - low > A(0.5) ? low + A(1) : low;
}
template <class A> DEVICE A floor_div_integer(A a, A b) {
  return quotient(a, b) - (rest_of(a, b) != 0 && (a < 0) != (b < 0) ? 1 : 0);
}
DEVICE float fn_floor_div(float a, float b) { return floor_div_float(a, b); }
DEVICE double fn_floor_div(double a, double b) { return floor_div_float(a, b); }
DEVICE i32 fn_floor_div(i32 a, i32 b) { return floor_div_integer(a, b); }
DEVICE i64 fn_floor_div(i64 a, i64 b) { return floor_div_integer(a, b); }
DEVICE float fn_trunc_div(float a, float b) { return truncf(a / b); }
DEVICE double fn_trunc_div(double a, double b) { return trunc(a / b); }
DEVICE i32 fn_trunc_div(i32 a, i32 b) { return quotient(a, b); }
DEVICE i64 fn_trunc_div(i64 a, i64 b) { return quotient(a, b); }
DEVICE float fn_fmod(float a, float b) { return fmodf(a, b); }
DEVICE double fn_fmod(double a, double b) { return fmod(a, b); }
DEVICE i32 fn_fmod(i32 a, i32 b) { return rest_of(a, b); }
DEVICE i64 fn_fmod(i64 a, i64 b) { return rest_of(a, b); }
template <class A> DEVICE A fn_remainder(A a, A b) {
  const A rest = fn_fmod(a, b);
  return rest != A(0) && (b < A(0)) != (rest < A(0)) ? rest + b : rest;
}
template <class A> DEVICE A power_of(A base, A exponent) {
  if (exponent < 0) return base == 1 ? A(1) : base == -1 ? (exponent % 2 == 0 ? A(1) : A(-1)) : A(0);
  A result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = wrap_mul(result, base);
    base = wrap_mul(base, base);
  }
  return result;
}
DEVICE i32 fn_pow(i32 a, i32 b) { return power_of(a, b); }
DEVICE i64 fn_pow(i64 a, i64 b) { return power_of(a, b); }
template <class A> DEVICE A fn_minimum(A a, A b) { return is_nan(a) || a < b ? a : b; }
template <class A> DEVICE A fn_maximum(A a, A b) { return is_nan(a) || a > b ? a : b; }
template <class A> DEVICE i32 fn_eq(A a, A b) { return a == b; }
template <class A> DEVICE i32 fn_ne(A a, A b) { return a != b; }
template <class A> DEVICE i32 fn_lt(A a, A b) { return a < b; }
template <class A> DEVICE i32 fn_le(A a, A b) { return a <= b; }
template <class A> DEVICE i32 fn_gt(A a, A b) { return a > b; }
template <class A> DEVICE i32 fn_ge(A a, A b) { return a >= b; }
template <class A> DEVICE i32 fn_logical_and(A a, A b) { return a != A(0) && b != A(0); }
template <class A> DEVICE i32 fn_logical_or(A a, A b) { return a != A(0) || b != A(0); }
template <class A> DEVICE i32 fn_logical_xor(A a, A b) { return (a != A(0)) != (b != A(0)); }
template <class A> DEVICE A fn_bitwise_and(A a, A b) { return a & b; }
template <class A> DEVICE A fn_bitwise_or(A a, A b) { return a | b; }
template <class A> DEVICE A fn_bitwise_xor(A a, A b) { return a ^ b; }
// `bits`: of the dtype that the operands have.
template <int bits, class A> DEVICE A shift_left_of(A a, A by) {
  return by < 0 || by >= bits ? A(0) : static_cast<A>(static_cast<unsigned long long>(a) << by);
}
template <int bits, class A> DEVICE A shift_right_of(A a, A by) {
  return a >> (by < 0 || by >= bits ? A(sizeof(A) * 8 - 1) : by);
}
template <class A> DEVICE A fn_leaky_relu(A x, A slope) { return x > A(0) ? x : x * slope; }
template <class A> DEVICE A fn_elu(A x, A alpha) { return x > A(0) ? x : alpha * fn_expm1(x); }
template <class A> DEVICE A fn_where(i32 condition, A a, A b) { return condition != 0 ? a : b; }

// --- For values of 16 bits: in few instructions, and as exact as such values show.
#ifdef HEADRACE_ON_HOST
DEVICE float exp2_of(float x) { return exp2f(x); }
DEVICE float part_of(float x) { return 1.0f / x; }
#else
DEVICE float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DEVICE float part_of(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#endif
constexpr float kLog2E = 1.4426950408889634f;
DEVICE float half_sigmoid(float x) { return part_of(1.0f + exp2_of(-kLog2E * x)); }
DEVICE float half_silu(float x) { return x * half_sigmoid(x); }
// x P(x), where P is the normal distribution: max(x, 0) - z P(-z) with z = |x|. log2 P(-z) is nearly a parabola: this
// polynomial (minimax, of degree 5 on [0, 6]) is less than half a unit of f16 off, relative to P(-z), where that counts
// (2.6e-4 up to z = 3), and 2.2e-5 off in x P(x) at most. Infinities and NaN go the way of the formula.
DEVICE float half_gelu(float x) {
  const float z = fminf(fabsf(x), 6.0f);
  const float log = -1.0001714f + z * (-1.1483697f + z * (-0.46630198f + z * (-0.046350127f + z * (0.0052143303f + z * -0.00025561064f))));
  return 0.5f * (x + fabsf(x)) - z * exp2_of(log);
}
