// Normalisation.
#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

using Ints = std::vector<int64_t>;

constexpr double kEpsilonF32 = 1.1920928955078125e-07, kEpsilonF64 = 2.220446049250313e-16;

// Scale and bias may be f32 beside a 16-bit input; then all is computed in f32.
Emitted normalise(OpCall& c, std::string_view op, Value* x, std::vector<Value*> parameters,
                  AttributeMap attributes) {
  DType dtype = x->dtype();
  for (const Value* p : parameters) {
    if (p) dtype = promote(dtype, p->dtype());
  }
  std::vector<Value*> inputs = {x};
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  for (Value*& input : inputs) {
    if (!input) continue;
    HR_ASSIGN(input, c.cast(input, dtype));
  }
  return c.cast(c.add_list(op, std::move(inputs), std::move(attributes)), c.result().dtype);
}

// How many of the last dims are normalised over.
int64_t trailing_axes(OpCall& c) { return static_cast<int64_t>(c.dims("normalized_shape").size()); }

Emitted layer_norm(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("input"));
  return normalise(c, "layer_norm", x, {c.optional_tensor("weight"), c.optional_tensor("bias")},
                   {{"axes", trailing_axes(c)}, {"eps", c.real("eps")}});
}

Emitted rms_norm(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("input"));
  const double fallback = x->dtype() == DType::kF64 ? kEpsilonF64 : kEpsilonF32;
  return normalise(c, "rms_norm", x, {c.optional_tensor("weight")},
                   {{"axes", trailing_axes(c)}, {"eps", c.has("eps") ? c.real("eps") : fallback}});
}

// The normalised tensor alone, where the statistics that come with it are not used.
template <Emitted (*function)(OpCall&)>
Result<std::vector<Value*>> without_statistics(OpCall& c) {
  for (size_t i = 1; i < c.outputs(); ++i) {
    if (c.used(i)) return unsupported("its mean and deviation are not supported as results");
  }
  HR_ASSIGN(Value * y, function(c));
  std::vector<Value*> values(c.outputs());
  values[0] = y;
  return values;
}

Emitted group_norm_of(OpCall& c, Value* x, int64_t groups) {
  return normalise(c, "group_norm", x, {c.optional_tensor("weight"), c.optional_tensor("bias")},
                   {{"groups", groups}, {"eps", c.real("eps")}});
}

Emitted group_norm(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("input"));
  HR_ASSIGN(const int64_t groups, c.integer("num_groups"));
  return group_norm_of(c, x, groups);
}

Emitted native_group_norm(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("input"));
  HR_ASSIGN(const int64_t groups, c.integer("group"));
  return group_norm_of(c, x, groups);
}

Emitted batch_norm_of(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("input"));
  Value *mean = c.optional_tensor("running_mean"), *variance = c.optional_tensor("running_var");
  if (!mean || !variance) return unsupported("statistics of the batch are not supported; running ones are");
  return normalise(c, "batch_norm", x,
                   {c.optional_tensor("weight"), c.optional_tensor("bias"), mean, variance},
                   {{"eps", c.real("eps")}, {"axis", int64_t{1}}});
}

Emitted batch_norm(OpCall& c) {
  if (c.flag("training")) {
    return unsupported("training = True is not supported; export the model in eval mode: model.eval()");
  }
  return batch_norm_of(c);
}

Emitted instance_norm(OpCall& c) {
  if (!c.flag("use_input_stats")) return batch_norm_of(c);
  HR_ASSIGN(Value * x, c.tensor("input"));
  const Dim channels = x->shape()[1];
  if (!channels.is_constant()) return unsupported("channels whose number varies are not supported");
  return group_norm_of(c, x, channels.constant());
}

// Statistics of this very batch: over all dims but the second.
Emitted batch_norm_of_batch(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("input"));
  const DType wide = x->dtype() == DType::kF64 ? DType::kF64 : DType::kF32;
  HR_ASSIGN(x, c.cast(x, wide));
  Ints axes = {0};
  for (int64_t i = 2; i < x->rank(); ++i) axes.push_back(i);
  const Emitted centred = c.add("sub", {x, c.reduce("mean", x, axes, true)});
  const Emitted variance = c.reduce("mean", c.add("mul", {centred, centred}), axes, true);
  const Emitted scale = c.add("rsqrt", {c.add("add", {variance, c.literal(wide, c.real("eps"))})});
  Emitted y = c.add("mul", {centred, scale});
  Shape channels(static_cast<size_t>(x->rank()), Dim(1));
  channels[1] = x->shape()[1];
  if (Value* w = c.optional_tensor("weight")) y = c.add("mul", {y, c.reshape(c.cast(w, wide), channels)});
  if (Value* b = c.optional_tensor("bias")) y = c.add("add", {y, c.reshape(c.cast(b, wide), channels)});
  return c.cast(y, c.result().dtype);
}

// g * v / |v|, the length taken over all dims but one.
Emitted weight_norm(OpCall& c) {
  HR_ASSIGN(Value * v, c.tensor("v"));
  HR_ASSIGN(Value * g, c.tensor("g"));
  HR_ASSIGN(const int64_t kept, c.axis("dim", v->rank()));
  const DType dtype = v->dtype(), wide = dtype == DType::kF64 ? dtype : DType::kF32;
  HR_ASSIGN(v, c.cast(v, wide));
  Ints axes;
  for (int64_t i = 0; i < v->rank(); ++i) {
    if (i != kept) axes.push_back(i);
  }
  const Emitted length = c.add("sqrt", {c.reduce("sum", c.add("mul", {v, v}), axes, true)});
  return c.cast(c.add("mul", {v, c.add("div", {c.cast(g, wide), length})}), dtype);
}

constexpr Overload kRows[] = {
    {"_weight_norm(Tensor v, Tensor g, int dim=0) -> Tensor", weight_norm},
    {"_weight_norm_interface(Tensor v, Tensor g, int dim=0) -> (Tensor, Tensor)",
     without_statistics<weight_norm>},
    {"layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, "
     "float eps=1.0000000000000001e-05, bool cudnn_enable=True) -> Tensor",
     layer_norm},
    {"native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, Tensor? bias, float eps) "
     "-> (Tensor, Tensor, Tensor)",
     without_statistics<layer_norm>},
    {"rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor",
     rms_norm},
    {"_fused_rms_norm(Tensor input, int[] normalized_shape, Tensor? weight, float? eps) -> (Tensor, Tensor)",
     without_statistics<rms_norm>},
    {"group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, "
     "float eps=1.0000000000000001e-05, bool cudnn_enabled=True) -> Tensor",
     group_norm},
    {"native_group_norm(Tensor input, Tensor? weight, Tensor? bias, SymInt N, SymInt C, SymInt HxW, "
     "int group, float eps) -> (Tensor, Tensor, Tensor)",
     without_statistics<native_group_norm>},
    {"instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, "
     "bool use_input_stats, float momentum, float eps, bool cudnn_enabled) -> Tensor",
     instance_norm},
    {"batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, "
     "bool training, float momentum, float eps, bool cudnn_enabled) -> Tensor",
     batch_norm},
    {"native_batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, "
     "Tensor? running_var, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)",
     without_statistics<batch_norm>},
    {"_native_batch_norm_legit_no_training(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, "
     "Tensor running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor)",
     without_statistics<batch_norm_of>},
    {"_native_batch_norm_legit.no_stats(Tensor input, Tensor? weight, Tensor? bias, bool training, "
     "float momentum, float eps) -> (Tensor, Tensor, Tensor)",
     without_statistics<batch_norm_of_batch>},
};

}  // namespace

std::span<const Overload> norm_overloads() { return kRows; }

}  // namespace headrace::frontend
