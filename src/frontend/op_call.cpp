#include "frontend/op_call.h"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace headrace::frontend {

const CallArgument& OpCall::argument(std::string_view name) const {
  static const CallArgument kNone;
  const SchemaArgument* found = schema_.find(name);
  assert(found && "a row asks for an argument that its schema lacks");
  return found ? arguments_[static_cast<size_t>(found - schema_.arguments.data())] : kNone;
}

bool OpCall::has(std::string_view name) const {
  return !std::holds_alternative<std::monostate>(argument(name));
}

Emitted OpCall::tensor(std::string_view name) {
  const Operand found = operand(name);
  if (found.tensor) return found.tensor;
  return number(dtype_of(found.scalar), found.scalar);
}

Value* OpCall::optional_tensor(std::string_view name) const {
  auto* const* value = std::get_if<Value*>(&argument(name));
  return value ? *value : nullptr;
}

std::vector<Value*> OpCall::tensors(std::string_view name) const {
  const auto* list = std::get_if<std::vector<Value*>>(&argument(name));
  return list ? *list : std::vector<Value*>();
}

Operand OpCall::operand(std::string_view name) const {
  Operand result;
  const CallArgument& value = argument(name);
  if (auto* const* tensor = std::get_if<Value*>(&value)) result.tensor = *tensor;
  if (const auto* number = std::get_if<double>(&value)) result.scalar = *number;
  if (const auto* flag = std::get_if<bool>(&value)) result.scalar = *flag;
  if (const auto* dim = std::get_if<Dim>(&value)) result.scalar = *dim;
  return result;
}

Dim OpCall::dim(std::string_view name) const {
  const auto* value = std::get_if<Dim>(&argument(name));
  return value ? *value : Dim(0);
}

std::vector<Dim> OpCall::dims(std::string_view name) const {
  const auto* list = std::get_if<std::vector<Dim>>(&argument(name));
  return list ? *list : std::vector<Dim>();
}

double OpCall::real(std::string_view name) const {
  const auto* value = std::get_if<double>(&argument(name));
  return value ? *value : 0;
}

std::vector<double> OpCall::reals(std::string_view name) const {
  const auto* list = std::get_if<std::vector<double>>(&argument(name));
  return list ? *list : std::vector<double>();
}

bool OpCall::flag(std::string_view name) const {
  const auto* value = std::get_if<bool>(&argument(name));
  return value && *value;
}

std::string OpCall::text(std::string_view name) const {
  const auto* value = std::get_if<std::string>(&argument(name));
  return value ? *value : std::string();
}

std::optional<DType> OpCall::dtype(std::string_view name) const {
  const auto* value = std::get_if<DType>(&argument(name));
  return value ? std::optional(*value) : std::nullopt;
}

Result<int64_t> OpCall::integer(std::string_view name) const {
  const Dim value = dim(name);
  if (!value.is_constant()) {
    return unsupported("{} = {} is not supported; a constant is", name, value.text());
  }
  return value.constant();
}

Result<std::vector<int64_t>> OpCall::integers(std::string_view name) const {
  std::vector<int64_t> values;
  const std::vector<Dim> list = dims(name);
  for (const Dim& value : list) {
    if (!value.is_constant()) {
      return unsupported("{} = {} is not supported; constants are", name, to_text(Shape(list)));
    }
    values.push_back(value.constant());
  }
  return values;
}

Result<double> OpCall::constant(std::string_view name) const {
  const std::optional<double> value = constant_of(scalar(name));
  if (!value) return unsupported("{} that follows from sizes is not supported; a constant is", name);
  return *value;
}

Result<int64_t> OpCall::axis(std::string_view name, int64_t rank) const {
  HR_ASSIGN(const int64_t value, integer(name));
  return normal_axis(value, rank);
}

Result<std::vector<int64_t>> OpCall::axes(std::string_view name, int64_t rank) const {
  std::vector<int64_t> list;
  if (std::holds_alternative<Dim>(argument(name))) {
    HR_ASSIGN(const int64_t one, integer(name));
    list.push_back(one);
  } else {
    HR_ASSIGN(list, integers(name));
  }
  if (list.empty()) {
    list.resize(static_cast<size_t>(rank));
    std::iota(list.begin(), list.end(), 0);
    return list;
  }
  for (int64_t& value : list) {
    HR_ASSIGN(value, normal_axis(value, rank));
  }
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  if (rank == 0) list.clear();
  return list;
}

Result<int64_t> normal_axis(int64_t axis, int64_t rank) {
  const int64_t range = std::max<int64_t>(rank, 1);
  if (axis < -range || axis >= range) {
    return unsupported("dim {} is out of range for a tensor of rank {}", axis, rank);
  }
  return axis < 0 ? axis + range : axis;
}

}  // namespace headrace::frontend
