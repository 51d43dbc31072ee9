// Reductions and scans.
#include <cmath>

#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

using Ints = std::vector<int64_t>;
enum class Dims { kAll, kGiven };

Result<Ints> axes_of(OpCall& c, Dims dims, int64_t rank) {
  Ints all(static_cast<size_t>(rank));
  for (int64_t i = 0; i < rank; ++i) all[static_cast<size_t>(i)] = i;
  return dims == Dims::kAll ? Result<Ints>(all) : c.axes("dim", rank);
}
bool keeps(OpCall& c, Dims dims) { return dims == Dims::kGiven && c.flag("keepdim"); }

enum class Kind { kSum, kMean, kProd, kMax, kMin, kAny, kAll };
constexpr std::string_view kKindNames[] = {"sum", "mean", "prod", "max", "min", "any", "all"};

// The operand goes to the result's dtype first where sums are concerned: i64 of integers, or as asked.
template <Kind kind, Dims dims>
Emitted reduced(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(Ints axes, axes_of(c, dims, x->rank()));
  const bool logical = kind == Kind::kAny || kind == Kind::kAll;
  HR_ASSIGN(x, c.cast(x, logical ? DType::kBool : c.result().dtype));
  const auto name = kKindNames[static_cast<size_t>(kind)];
  return c.cast(c.reduce(name, x, std::move(axes), keeps(c, dims)), c.result().dtype);
}

// max.dim: the values, and where they are.
template <Kind kind>
Result<std::vector<Value*>> extreme_of_dim(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const bool scalar = x->rank() == 0;
  if (scalar) {
    HR_ASSIGN(x, c.unsqueeze(x, 0));
  }
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  const bool keepdim = c.flag("keepdim");
  const auto name = kKindNames[static_cast<size_t>(kind)];
  std::vector<Value*> values(2);
  HR_ASSIGN(values[0], c.reshape(c.reduce(name, x, {axis}, keepdim), c.shape(0)));
  if (!c.used(1)) return values;
  const AttributeMap attributes = {{"kind", std::string(name)}, {"axis", axis}, {"keepdim", keepdim}};
  HR_ASSIGN(values[1], c.reshape(c.add("arg_reduce", {x}, attributes), c.shape(1)));
  return values;
}

template <Kind kind>
Emitted arg_extreme(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  int64_t axis = 0;
  if (c.has("dim") && x->rank() > 0) {
    HR_ASSIGN(axis, c.axis("dim", x->rank()));
  } else {
    HR_ASSIGN(x, c.reshape(x, {element_count(std::span<const Dim>(x->shape()))}));
  }
  const std::string name(kKindNames[static_cast<size_t>(kind)]);
  const AttributeMap attributes = {{"kind", name}, {"axis", axis}, {"keepdim", false}};
  return c.reshape(c.add("arg_reduce", {x}, attributes), c.shape());
}

struct Moments {
  Value *mean = nullptr, *variance = nullptr;  // with their dims kept
};

// In f32 (or f64): mean, and mean square deviation by n - correction.
Result<Moments> moments(OpCall& c, const Ints& axes, double correction) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const DType wide = x->dtype() == DType::kF64 ? DType::kF64 : DType::kF32;
  HR_ASSIGN(x, c.cast(x, wide));
  Dim count = 1;
  for (const int64_t axis : axes) count = count * x->shape()[static_cast<size_t>(axis)];
  Moments result;
  HR_ASSIGN(result.mean, c.reduce("mean", x, axes, true));
  const Emitted centred = c.add("sub", {x, result.mean});
  const Emitted sum = c.reduce("sum", c.add("mul", {centred, centred}), axes, true);
  const Emitted degrees = c.add("sub", {c.number(wide, count), c.literal(wide, correction)});
  const Emitted divisor = c.add("maximum", {degrees, c.literal(wide, 0)});
  HR_ASSIGN(result.variance, c.add("div", {sum, divisor}));
  return result;
}

enum class Correction { kNumber, kUnbiased };

Result<double> correction_of(OpCall& c, Correction form) {
  if (form == Correction::kUnbiased) return c.flag("unbiased") ? 1.0 : 0.0;
  if (!c.has("correction")) return 1.0;
  return c.constant("correction");
}

template <bool root, Dims dims, Correction form>
Emitted spread(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const Ints axes, axes_of(c, dims, x->rank()));
  HR_ASSIGN(const double correction, correction_of(c, form));
  HR_ASSIGN(const Moments found, moments(c, axes, correction));
  const Emitted result = root ? c.add("sqrt", {found.variance}) : Emitted(found.variance);
  return c.cast(c.reshape(result, c.shape()), c.result().dtype);
}

template <bool root, Correction form>
Result<std::vector<Value*>> spread_and_mean(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const Ints axes, axes_of(c, Dims::kGiven, x->rank()));
  HR_ASSIGN(const double correction, correction_of(c, form));
  HR_ASSIGN(const Moments found, moments(c, axes, correction));
  const Emitted result = root ? c.add("sqrt", {found.variance}) : Emitted(found.variance);
  std::vector<Value*> values(2);
  HR_ASSIGN(values[0], c.cast(c.reshape(result, c.shape(0)), c.result(0).dtype));
  HR_ASSIGN(values[1], c.cast(c.reshape(found.mean, c.shape(1)), c.result(1).dtype));
  return values;
}

// The p-norm over `axes`.
Emitted norm_of(OpCall& c, Value* x, double p, const Ints& axes, bool keepdim) {
  const DType dtype = c.result().dtype, wide = dtype == DType::kF64 ? dtype : DType::kF32;
  HR_ASSIGN(x, c.cast(x, wide));
  const auto reduce = [&](std::string_view kind, const Emitted& v) {
    return c.reduce(kind, v, axes, keepdim);
  };
  const Emitted size = c.add("abs", {x});
  Emitted norm = size;
  if (p == 2) {
    norm = c.add("sqrt", {reduce("sum", c.add("mul", {x, x}))});
  } else if (p == 1) {
    norm = reduce("sum", size);
  } else if (std::isinf(p)) {
    norm = reduce(p > 0 ? "max" : "min", size);
  } else if (p == 0) {
    norm = reduce("sum", c.cast(c.add("ne", {x, c.literal(wide, 0)}), wide));
  } else {
    norm = c.add("pow", {reduce("sum", c.add("pow", {size, c.literal(wide, p)})), c.literal(wide, 1 / p)});
  }
  return c.cast(norm, dtype);
}

Emitted vector_norm(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const double p, c.constant("ord"));
  HR_ASSIGN(const Ints axes, c.axes("dim", x->rank()));
  return norm_of(c, x, p, axes, c.flag("keepdim"));
}

template <Dims dims>
Emitted norm(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  double p = 2;
  if (c.has("p")) {
    HR_ASSIGN(p, c.constant("p"));
  }
  HR_ASSIGN(const Ints axes, axes_of(c, dims, x->rank()));
  return norm_of(c, x, p, axes, keeps(c, dims));
}

// log(sum(exp(x - max))) + max, with an infinite max taken as 0.
Emitted log_sum_exp(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const Ints axes, c.axes("dim", x->rank()));
  HR_ASSIGN(x, c.cast(x, c.result().dtype));
  const Emitted top = c.reduce("max", x, axes, true);
  const Emitted safe = c.add("where", {c.add("is_inf", {top}), c.literal(x->dtype(), 0), top});
  const Emitted sum = c.reduce("sum", c.add("exp", {c.add("sub", {x, safe})}), axes, true);
  return c.reshape(c.add("add", {c.add("log", {sum}), safe}), c.shape());
}

Emitted cumsum(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  if (x->rank() == 0) return c.cast(x, c.result().dtype);
  return c.add("cumsum", {c.cast(x, c.result().dtype)}, {{"axis", axis}});
}

// x[1:] - x[:-1], n times, of prepend, x and append joined.
Emitted diff(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const int64_t axis, c.axis("dim", x->rank()));
  HR_ASSIGN(const int64_t times, c.integer("n"));
  std::vector<Value*> parts;
  for (Value* part : {c.optional_tensor("prepend"), x, c.optional_tensor("append")}) {
    if (part) parts.push_back(part);
  }
  HR_ASSIGN(x, c.concat(parts, axis));
  for (int64_t i = 0; i < times; ++i) {
    const Dim size = x->shape()[static_cast<size_t>(axis)];
    const Emitted upper = c.slice(x, axis, 1, size), lower = c.slice(x, axis, 0, size - 1);
    HR_ASSIGN(x, c.add(x->dtype() == DType::kBool ? "logical_xor" : "sub", {upper, lower}));
  }
  return x;
}

constexpr Overload kRows[] = {
    {"sum(Tensor self, *, ScalarType? dtype=None) -> Tensor", reduced<Kind::kSum, Dims::kAll>},
    {"sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
     reduced<Kind::kSum, Dims::kGiven>},
    {"mean(Tensor self, *, ScalarType? dtype=None) -> Tensor", reduced<Kind::kMean, Dims::kAll>},
    {"mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
     reduced<Kind::kMean, Dims::kGiven>},
    {"prod(Tensor self, *, ScalarType? dtype=None) -> Tensor", reduced<Kind::kProd, Dims::kAll>},
    {"prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
     reduced<Kind::kProd, Dims::kGiven>},
    {"amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor", reduced<Kind::kMax, Dims::kGiven>},
    {"amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor", reduced<Kind::kMin, Dims::kGiven>},
    {"max(Tensor self) -> Tensor", reduced<Kind::kMax, Dims::kAll>},
    {"min(Tensor self) -> Tensor", reduced<Kind::kMin, Dims::kAll>},
    {"max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
     extreme_of_dim<Kind::kMax>},
    {"min.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
     extreme_of_dim<Kind::kMin>},
    {"argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor", arg_extreme<Kind::kMax>},
    {"argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor", arg_extreme<Kind::kMin>},
    {"any(Tensor self) -> Tensor", reduced<Kind::kAny, Dims::kAll>},
    {"any.dim(Tensor self, int dim, bool keepdim=False) -> Tensor", reduced<Kind::kAny, Dims::kGiven>},
    {"any.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor",
     reduced<Kind::kAny, Dims::kGiven>},
    {"all(Tensor self) -> Tensor", reduced<Kind::kAll, Dims::kAll>},
    {"all.dim(Tensor self, int dim, bool keepdim=False) -> Tensor", reduced<Kind::kAll, Dims::kGiven>},
    {"all.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor",
     reduced<Kind::kAll, Dims::kGiven>},
    {"var(Tensor self, bool unbiased=True) -> Tensor", spread<false, Dims::kAll, Correction::kUnbiased>},
    {"var.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor",
     spread<false, Dims::kGiven, Correction::kUnbiased>},
    {"var.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> "
     "Tensor",
     spread<false, Dims::kGiven, Correction::kNumber>},
    {"std(Tensor self, bool unbiased=True) -> Tensor", spread<true, Dims::kAll, Correction::kUnbiased>},
    {"std.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor",
     spread<true, Dims::kGiven, Correction::kUnbiased>},
    {"std.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> "
     "Tensor",
     spread<true, Dims::kGiven, Correction::kNumber>},
    {"var_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) "
     "-> (Tensor, Tensor)",
     spread_and_mean<false, Correction::kNumber>},
    {"std_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) "
     "-> (Tensor, Tensor)",
     spread_and_mean<true, Correction::kNumber>},
    {"var_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)",
     spread_and_mean<false, Correction::kUnbiased>},
    {"std_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)",
     spread_and_mean<true, Correction::kUnbiased>},
    {"linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, "
     "ScalarType? dtype=None) -> Tensor",
     vector_norm},
    {"norm.Scalar(Tensor self, Scalar p=2) -> Tensor", norm<Dims::kAll>},
    {"norm.ScalarOpt_dim(Tensor self, Scalar? p, int[1] dim, bool keepdim=False) -> Tensor",
     norm<Dims::kGiven>},
    {"logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor", log_sum_exp},
    {"cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor", cumsum},
    {"diff(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor", diff},
};

}  // namespace

std::span<const Overload> reduce_overloads() { return kRows; }

}  // namespace headrace::frontend
