#include "frontend/emitter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/error.h"

namespace headrace::frontend {

DType dtype_of(const Scalar& scalar) {
  if (std::holds_alternative<bool>(scalar)) return DType::kBool;
  return std::holds_alternative<double>(scalar) ? DType::kF32 : DType::kI64;
}

std::optional<double> constant_of(const Scalar& scalar) {
  if (const auto* flag = std::get_if<bool>(&scalar)) return *flag ? 1 : 0;
  if (const auto* number = std::get_if<double>(&scalar)) return *number;
  const Dim& dim = std::get<Dim>(scalar);
  return dim.is_constant() ? std::optional(static_cast<double>(dim.constant())) : std::nullopt;
}

Emitted Emitter::add(std::string_view op, std::initializer_list<Input> inputs, AttributeMap attributes) {
  std::vector<Value*> values;
  for (const Input& input : inputs) {
    HR_TRY(input.status());
    values.push_back(input.value());
  }
  return add_list(op, std::move(values), std::move(attributes));
}

Emitted Emitter::add_list(std::string_view op, std::vector<Value*> inputs, AttributeMap attributes) {
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  HR_ASSIGN(Value * value, graph_.add(op, std::move(inputs), std::move(attributes), source_.name));
  value->producer()->sources().push_back(source_);
  return value;
}

Emitted Emitter::cast(Input value, DType dtype) {
  HR_TRY(value.status());
  if (value.value()->dtype() == dtype) return value.value();
  return add("cast", {value}, {{"dtype", dtype}});
}

Emitted Emitter::reshape(Input value, Shape shape) {
  HR_TRY(value.status());
  if (value.value()->shape() == shape) return value.value();
  return add("reshape", {value}, {{"shape", std::move(shape)}});
}

Emitted Emitter::expand(Input value, Shape shape) {
  HR_TRY(value.status());
  if (value.value()->shape() == shape) return value.value();
  return add("expand", {value}, {{"shape", std::move(shape)}});
}

Emitted Emitter::transpose(Input value, std::vector<int64_t> perm) {
  HR_TRY(value.status());
  if (std::is_sorted(perm.begin(), perm.end())) return value.value();
  return add("transpose", {value}, {{"perm", std::move(perm)}});
}

Emitted Emitter::slice(Input value, int64_t axis, Dim start, Dim stop, int64_t step) {
  HR_TRY(value.status());
  const bool whole = start == Dim(0) && stop == value.value()->shape()[static_cast<size_t>(axis)];
  if (whole && step == 1) return value.value();
  return add("slice", {value}, {{"axis", axis}, {"start", start}, {"stop", stop}, {"step", step}});
}

Emitted Emitter::unsqueeze(Input value, int64_t axis) {
  HR_TRY(value.status());
  Shape shape = value.value()->shape();
  shape.insert(shape.begin() + axis, Dim(1));
  return reshape(value, std::move(shape));
}

Emitted Emitter::squeeze(Input value, int64_t axis) {
  HR_TRY(value.status());
  Shape shape = value.value()->shape();
  shape.erase(shape.begin() + axis);
  return reshape(value, std::move(shape));
}

Emitted Emitter::reduce(std::string_view kind, Input value, std::vector<int64_t> axes, bool keepdim) {
  return add("reduce", {value},
             {{"kind", std::string(kind)}, {"axes", std::move(axes)}, {"keepdim", keepdim}});
}

Emitted Emitter::concat(std::vector<Value*> values, int64_t axis) {
  if (values.size() == 1) return values.front();
  return add_list("concat", std::move(values), {{"axis", axis}});
}

Emitted Emitter::iota(Dim start, Dim count, int64_t step) {
  return add("iota", {}, {{"start", std::move(start)}, {"count", std::move(count)}, {"step", step}});
}

Emitted Emitter::number(DType dtype, const Scalar& scalar) {
  const auto* dim = std::get_if<Dim>(&scalar);
  if (dim && !dim->is_constant()) return cast(add("dim_value", {}, {{"value", *dim}}), dtype);
  if (dim && !is_float(dtype)) return graph_.add_scalar<int64_t>("number", dtype, dim->constant());
  return literal(dtype, *constant_of(scalar));
}

Emitted Emitter::full(Shape shape, DType dtype, const Scalar& scalar) {
  const std::optional<double> value = constant_of(scalar);
  constexpr double kExact = 9007199254740992;  // 2^53: ints above are not doubles
  if (!value || (!is_float(dtype) && std::abs(*value) > kExact)) {
    return expand(number(dtype, scalar), std::move(shape));
  }
  return add("fill", {}, {{"shape", std::move(shape)}, {"value", *value}, {"dtype", dtype}});
}

Value* Emitter::literal(DType dtype, double value) {
  return graph_.add_scalar<double>("number", dtype, value);
}

Value* Emitter::int_list(const std::vector<int64_t>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(int64_t));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return graph_.add_literal("numbers", {DType::kI64, {Dim(static_cast<int64_t>(values.size()))}},
                            std::move(bytes));
}

}  // namespace headrace::frontend
