// Images made larger or smaller.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

// PyTorch's step from one output element to the next, in input elements.
double step_of(int64_t input, int64_t output, std::optional<double> factor, bool align_corners) {
  if (align_corners) return output > 1 ? static_cast<double>(input - 1) / static_cast<double>(output - 1) : 0;
  if (factor && *factor > 0) return 1 / *factor;
  return static_cast<double>(input) / static_cast<double>(output);
}

struct Axis {
  int64_t axis = 0;
  Dim input, output;
  std::optional<double> factor;
};

// The last `dims` dims of x and of the result. Factors come as a list ("scale_factors"), or one an argument.
Result<std::vector<Axis>> axes_of(OpCall& c, const Value* x, size_t dims,
                                  const std::vector<double>& factors) {
  if (x->rank() != static_cast<int64_t>(dims) + 2)
    return unsupported("a tensor of rank {} is not supported; {} is", x->rank(), dims + 2);
  std::vector<Axis> axes;
  for (size_t i = 0; i < dims; ++i) {
    Axis axis{static_cast<int64_t>(i) + 2, x->shape()[i + 2], c.shape()[i + 2], std::nullopt};
    if (i < factors.size()) axis.factor = factors[i];
    axes.push_back(axis);
  }
  return axes;
}

// Every element `times` times in a row.
Emitted repeated(OpCall& c, Value* x, int64_t axis, int64_t times) {
  HR_ASSIGN(Value * apart, c.unsqueeze(x, axis + 1));
  Shape wide = apart->shape(), joined = x->shape();
  wide[static_cast<size_t>(axis) + 1] = times;
  joined[static_cast<size_t>(axis)] = joined[static_cast<size_t>(axis)] * Dim(times);
  return c.reshape(c.expand(apart, wide), joined);
}

Emitted nearest_along(OpCall& c, Value* x, const Axis& a, bool exact) {
  constexpr int64_t kMostTimes = 64;
  for (int64_t times = 1; times <= kMostTimes; ++times) {
    const bool plain = !a.factor || *a.factor == static_cast<double>(times);
    if (plain && a.output == a.input * Dim(times))
      return times == 1 ? Emitted(x) : repeated(c, x, a.axis, times);
  }
  if (!a.input.is_constant() || !a.output.is_constant())
    return unsupported("a size that varies, {} to {}, is not supported; whole multiples are", a.input.text(),
                       a.output.text());
  const int64_t input = a.input.constant(), output = a.output.constant();
  const auto step = static_cast<float>(step_of(input, output, a.factor, false));
  std::vector<int64_t> from;
  for (int64_t i = 0; i < output; ++i) {
    const float at = (static_cast<float>(i) + (exact ? 0.5F : 0.0F)) * step;
    from.push_back(std::min(static_cast<int64_t>(std::floor(at)), input - 1));
  }
  return c.add("gather", {x, c.int_list(from)}, {{"axis", a.axis}});
}

Emitted nearest(OpCall& c, std::string_view input, size_t dims, const std::vector<double>& factors,
                bool exact) {
  HR_ASSIGN(Value * x, c.tensor(input));
  HR_ASSIGN(const std::vector<Axis> axes, axes_of(c, x, dims, factors));
  for (const Axis& axis : axes) {
    HR_ASSIGN(x, nearest_along(c, x, axis, exact));
  }
  return x;
}

template <size_t dims, bool exact>
Emitted nearest_vec(OpCall& c) {
  return nearest(c, "input", dims, c.reals("scale_factors"), exact);
}

enum class Filter { kLinear, kCubic };

double cubic(double x) {  // PyTorch's, with a = -0.75
  constexpr double a = -0.75;
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

// [output, input]: what each output element takes of each input element.
std::vector<float> weights_of(int64_t input, int64_t output, double step, Filter filter, bool align_corners) {
  std::vector<float> matrix(static_cast<size_t>(input * output), 0.0F);
  for (int64_t i = 0; i < output; ++i) {
    double at = align_corners ? static_cast<double>(i) * step : (static_cast<double>(i) + 0.5) * step - 0.5;
    if (filter == Filter::kLinear) at = std::max(at, 0.0);
    const double base = std::floor(at), rest = at - base;
    const int reach = filter == Filter::kLinear ? 0 : 1;
    for (int tap = -reach; tap <= 1 + reach; ++tap) {
      const double distance = rest - tap;
      const double weight = filter == Filter::kLinear ? 1 - std::abs(distance) : cubic(distance);
      const int64_t from = std::clamp<int64_t>(static_cast<int64_t>(base) + tap, 0, input - 1);
      matrix[static_cast<size_t>(i * input + from)] += static_cast<float>(weight);
    }
  }
  return matrix;
}

Emitted interpolate_along(OpCall& c, Value* x, const Axis& a, Filter filter, bool align_corners) {
  if (a.input == a.output && (!a.factor || *a.factor == 1)) return x;
  if (!a.input.is_constant() || !a.output.is_constant()) {
    return unsupported("a size that varies, {} to {}, is not supported", a.input.text(), a.output.text());
  }
  const int64_t input = a.input.constant(), output = a.output.constant();
  constexpr int64_t kMostElements = int64_t{1} << 22;  // they are written out
  if (input <= 0 || output <= 0 || input > kMostElements / output)
    return unsupported("from {} to {} elements is not supported: too large a table", input, output);
  const auto matrix =
      weights_of(input, output, step_of(input, output, a.factor, align_corners), filter, align_corners);
  std::vector<std::byte> bytes(matrix.size() * sizeof(float));
  std::memcpy(bytes.data(), matrix.data(), bytes.size());
  Value* table =
      c.graph().add_literal("interpolation", {DType::kF32, {Dim(output), Dim(input)}}, std::move(bytes));
  HR_ASSIGN(table, c.cast(table, x->dtype()));
  if (a.axis == x->rank() - 1) return c.add("matmul", {x, table}, {{"transpose_b", true}});
  if (a.axis == x->rank() - 2) return c.add("matmul", {table, x});
  std::vector<int64_t> perm;  // this axis last, and back
  for (int64_t i = 0; i < x->rank(); ++i) perm.push_back(i);
  std::swap(perm[static_cast<size_t>(a.axis)], perm.back());
  return c.transpose(c.add("matmul", {c.transpose(x, perm), table}, {{"transpose_b", true}}), perm);
}

template <size_t dims, Filter filter>
Emitted interpolate(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("input"));
  HR_ASSIGN(const std::vector<Axis> axes, axes_of(c, x, dims, c.reals("scale_factors")));
  const DType dtype = x->dtype();
  HR_ASSIGN(x, c.cast(x, dtype == DType::kF64 ? dtype : DType::kF32));
  for (const Axis& axis : axes) {
    HR_ASSIGN(x, interpolate_along(c, x, axis, filter, c.flag("align_corners")));
  }
  return c.cast(x, dtype);
}

constexpr Overload kRows[] = {
    {"upsample_nearest1d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
     nearest_vec<1, false>},
    {"upsample_nearest2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
     nearest_vec<2, false>},
    {"upsample_nearest3d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
     nearest_vec<3, false>},
    {"_upsample_nearest_exact1d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
     nearest_vec<1, true>},
    {"_upsample_nearest_exact2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
     nearest_vec<2, true>},
    {"_upsample_nearest_exact3d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
     nearest_vec<3, true>},
    {"upsample_linear1d.vec(Tensor input, SymInt[]? output_size, bool align_corners, "
     "float[]? scale_factors) -> Tensor",
     interpolate<1, Filter::kLinear>},
    {"upsample_bilinear2d.vec(Tensor input, SymInt[]? output_size, bool align_corners, "
     "float[]? scale_factors) -> Tensor",
     interpolate<2, Filter::kLinear>},
    {"upsample_trilinear3d.vec(Tensor input, SymInt[]? output_size, bool align_corners, "
     "float[]? scale_factors) -> Tensor",
     interpolate<3, Filter::kLinear>},
    {"upsample_bicubic2d.vec(Tensor input, SymInt[]? output_size, bool align_corners, "
     "float[]? scale_factors) -> Tensor",
     interpolate<2, Filter::kCubic>},
};

}  // namespace

std::span<const Overload> resize_overloads() { return kRows; }

}  // namespace headrace::frontend
