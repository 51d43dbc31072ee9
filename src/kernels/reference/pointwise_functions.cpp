// The pointwise functions themselves, in double and int64.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/op.h"

namespace headrace::reference {

namespace {

int64_t add_wrapping(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
int64_t multiply_wrapping(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
int64_t negate_wrapping(int64_t a) { return static_cast<int64_t>(-static_cast<uint64_t>(a)); }

double floor_divide(double a, double b) {
  if (b == 0) return a / b;
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}
int64_t truncate_divide(int64_t a, int64_t b) { return b == -1 ? negate_wrapping(a) : a / b; }
int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t quotient = truncate_divide(a, b);
  return (b != -1 && a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}
double remainder(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0 && (b < 0) != (rest < 0) ? rest + b : rest;
}
int64_t fmod_integer(int64_t a, int64_t b) { return b == -1 ? 0 : a % b; }
int64_t remainder(int64_t a, int64_t b) {
  const int64_t rest = fmod_integer(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 1) return 1;
    if (base == -1) return exponent % 2 == 0 ? 1 : -1;
    return 0;
  }
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = multiply_wrapping(result, base);
    base = multiply_wrapping(base, base);
  }
  return result;
}

int64_t shift_left(DType dtype, int64_t a, int64_t by) {
  if (by < 0 || by >= dtype_size(dtype) * 8) return 0;
  return static_cast<int64_t>(static_cast<uint64_t>(a) << by);
}
int64_t shift_right(DType dtype, int64_t a, int64_t by) {
  return a >> (by < 0 || by >= dtype_size(dtype) * 8 ? 63 : by);
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }
double hard_ramp(double x) { return std::isnan(x) ? x : std::clamp(x + 3, 0.0, 6.0) / 6; }
double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
double sign(double x) { return (x > 0) - (x < 0); }  // 0 for NaN

double unary(Pointwise function, double x) {
  switch (function) {
    case Pointwise::kNeg: return -x;
    case Pointwise::kAbs: return std::fabs(x);
    case Pointwise::kSign: return sign(x);
    case Pointwise::kExp: return std::exp(x);
    case Pointwise::kExpm1: return std::expm1(x);
    case Pointwise::kLog: return std::log(x);
    case Pointwise::kLog1p: return std::log1p(x);
    case Pointwise::kSqrt: return std::sqrt(x);
    case Pointwise::kRsqrt: return 1 / std::sqrt(x);
    case Pointwise::kReciprocal: return 1 / x;
    case Pointwise::kSin: return std::sin(x);
    case Pointwise::kCos: return std::cos(x);
    case Pointwise::kTan: return std::tan(x);
    case Pointwise::kTanh: return std::tanh(x);
    case Pointwise::kErf: return std::erf(x);
    case Pointwise::kSigmoid: return sigmoid(x);
    case Pointwise::kFloor: return std::floor(x);
    case Pointwise::kCeil: return std::ceil(x);
    case Pointwise::kRound: return std::nearbyint(x);
    case Pointwise::kTrunc: return std::trunc(x);
    case Pointwise::kRelu: return x > 0 || std::isnan(x) ? x : 0;
    case Pointwise::kGelu: return 0.5 * x * std::erfc(-x * 0.7071067811865476);
    case Pointwise::kGeluTanh: return gelu_tanh(x);
    case Pointwise::kSilu: return x * sigmoid(x);
    case Pointwise::kSoftplus: return softplus(x);
    case Pointwise::kMish: return x * std::tanh(softplus(x));
    case Pointwise::kHardswish: return x * hard_ramp(x);
    case Pointwise::kHardsigmoid: return hard_ramp(x);
    default: return x;
  }
}

int64_t unary(Pointwise function, DType dtype, int64_t x) {
  switch (function) {
    case Pointwise::kNeg: return negate_wrapping(x);
    case Pointwise::kAbs: return x < 0 ? negate_wrapping(x) : x;
    case Pointwise::kSign: return (x > 0) - (x < 0);
    case Pointwise::kRelu: return std::max<int64_t>(x, 0);
    case Pointwise::kBitwiseNot: return dtype == DType::kBool ? x == 0 : ~x;
    default: return x;
  }
}

double binary(Pointwise function, double a, double b) {
  switch (function) {
    case Pointwise::kAdd: return a + b;
    case Pointwise::kSub: return a - b;
    case Pointwise::kMul: return a * b;
    case Pointwise::kDiv: return a / b;
    case Pointwise::kFloorDiv: return floor_divide(a, b);
    case Pointwise::kTruncDiv: return std::trunc(a / b);
    case Pointwise::kRemainder: return remainder(a, b);
    case Pointwise::kFmod: return std::fmod(a, b);
    case Pointwise::kPow: return std::pow(a, b);
    case Pointwise::kAtan2: return std::atan2(a, b);
    case Pointwise::kMinimum: return std::isnan(a) || a < b ? a : b;
    case Pointwise::kMaximum: return std::isnan(a) || a > b ? a : b;
    case Pointwise::kLeakyRelu: return a > 0 ? a : a * b;
    case Pointwise::kElu: return a > 0 ? a : b * std::expm1(a);
    default: return a;
  }
}

int64_t binary(Pointwise function, DType dtype, int64_t a, int64_t b) {
  switch (function) {
    case Pointwise::kAdd: return add_wrapping(a, b);
    case Pointwise::kSub: return add_wrapping(a, negate_wrapping(b));
    case Pointwise::kMul: return multiply_wrapping(a, b);
    case Pointwise::kFloorDiv: return floor_divide(a, b);
    case Pointwise::kTruncDiv: return truncate_divide(a, b);
    case Pointwise::kRemainder: return remainder(a, b);
    case Pointwise::kFmod: return fmod_integer(a, b);
    case Pointwise::kPow: return power(a, b);
    case Pointwise::kMinimum: return std::min(a, b);
    case Pointwise::kMaximum: return std::max(a, b);
    case Pointwise::kBitwiseAnd: return a & b;
    case Pointwise::kBitwiseOr: return a | b;
    case Pointwise::kBitwiseXor: return a ^ b;
    case Pointwise::kShiftLeft: return shift_left(dtype, a, b);
    case Pointwise::kShiftRight: return shift_right(dtype, a, b);
    default: return a;
  }
}

template <class T>
bool test(Pointwise function, T a, T b) {
  switch (function) {
    case Pointwise::kEq: return a == b;
    case Pointwise::kNe: return a != b;
    case Pointwise::kLt: return a < b;
    case Pointwise::kLe: return a <= b;
    case Pointwise::kGt: return a > b;
    case Pointwise::kGe: return a >= b;
    case Pointwise::kLogicalAnd: return a != T{0} && b != T{0};
    case Pointwise::kLogicalOr: return a != T{0} || b != T{0};
    case Pointwise::kLogicalXor: return (a != T{0}) != (b != T{0});
    case Pointwise::kLogicalNot: return a == T{0};
    case Pointwise::kIsNan: return a != a;
    case Pointwise::kIsInf:
      if constexpr (std::is_same_v<T, double>) return std::isinf(a);
      return false;
    default: return a != T{0};  // a cast to bool
  }
}

int64_t truncate(double x) {
  if (!(x >= -9223372036854775808.0 && x < 9223372036854775808.0)) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(x);
}

bool divides(Pointwise function) {
  return function == Pointwise::kFloorDiv || function == Pointwise::kTruncDiv ||
         function == Pointwise::kRemainder || function == Pointwise::kFmod;
}

template <class T>
const T* numbers(const Operand& operand) {
  if constexpr (std::is_same_v<T, double>)
    return operand.floats;
  else
    return operand.integers;
}

// Functions whose operands are T: to bool, to a float or to an integer.
template <class T>
void convert(Pointwise function, DType dtype, std::span<const Operand> operands, int64_t count,
             double* floats, int64_t* integers) {
  const T* a = numbers<T>(operands[0]);
  const T* b = operands.size() > 1 ? numbers<T>(operands[1]) : a;
  for (int64_t i = 0; i < count; ++i) {
    if (dtype == DType::kBool)
      integers[i] = test(function, a[i], b[i]);
    else if (is_float(dtype))
      floats[i] = round_float(dtype, static_cast<double>(a[i]));
    else if constexpr (std::is_same_v<T, double>)
      integers[i] = wrap_integer(dtype, truncate(a[i]));
    else
      integers[i] = wrap_integer(dtype, a[i]);
  }
}

void select(std::span<const Operand> operands, bool of_floats, int64_t count, double* floats,
            int64_t* integers) {
  for (int64_t i = 0; i < count; ++i) {
    const Operand& chosen = operands[operands[0].integers[i] != 0 ? 1 : 2];
    if (of_floats)
      floats[i] = chosen.floats[i];
    else
      integers[i] = chosen.integers[i];
  }
}

}  // namespace

bool apply(Pointwise function, DType dtype, std::span<const Operand> operands, int64_t count, double* floats,
           int64_t* integers) {
  const bool from_float = is_float(operands[0].dtype);
  if (function == Pointwise::kWhere) {
    select(operands, is_float(dtype), count, floats, integers);
    return true;
  }
  if (function == Pointwise::kCast || info(function).to_bool) {
    if (from_float)
      convert<double>(function, dtype, operands, count, floats, integers);
    else
      convert<int64_t>(function, dtype, operands, count, floats, integers);
    return true;
  }
  if (from_float) {
    // f16 and bf16 are computed in float, and rounded further only where they are stored.
    const DType in = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
    const double* a = operands[0].floats;
    const double* b = operands.size() > 1 ? operands[1].floats : nullptr;
    for (int64_t i = 0; i < count; ++i)
      floats[i] = round_float(in, b ? binary(function, a[i], b[i]) : unary(function, a[i]));
    return true;
  }
  const int64_t* a = operands[0].integers;
  const int64_t* b = operands.size() > 1 ? operands[1].integers : nullptr;
  for (int64_t i = 0; i < count; ++i) {
    if (b && b[i] == 0 && divides(function)) return false;
    integers[i] = wrap_integer(dtype, b ? binary(function, dtype, a[i], b[i]) : unary(function, dtype, a[i]));
  }
  return true;
}

}  // namespace headrace::reference
