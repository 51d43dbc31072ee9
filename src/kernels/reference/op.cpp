#include "kernels/reference/op.h"

#include <algorithm>
#include <array>
#include <map>

namespace headrace::reference {

Status Call::expect(bool holds, std::string_view rule) const {
  if (holds) return {};
  return corrupt("{}: {}: {}", label, kernel, rule);
}

Result<Array> Call::load(size_t index) const {
  const View* view = input(index);
  if (!view) return corrupt("{}: {}: operand {} is absent", label, kernel, index);
  return scratch.load(*view);
}

Result<Array> Call::load_float(size_t index) const {
  HR_ASSIGN(Array array, load(index));
  if (!is_float(array.dtype))
    return corrupt("{}: {}: operand {} is {}, not a float", label, kernel, index, dtype_name(array.dtype));
  return array;
}

Status Call::store(const Array& result, size_t output) const {
  const View& to = outputs[output];
  if (result.shape != to.shape)
    return corrupt("{}: {}: the result is {}, its tensor {}", label, kernel,
                   to_text(std::span<const int64_t>(result.shape)),
                   to_text(std::span<const int64_t>(to.shape)));
  if (is_float(result.dtype) != is_float(to.dtype))
    return corrupt("{}: {}: the result is {}, its tensor {}", label, kernel, dtype_name(result.dtype),
                   dtype_name(to.dtype));
  store_rounded(result, to);
  return {};
}

Status Call::copy(const View& from, size_t output) const {
  const View& to = outputs[output];
  HR_TRY(expect(from.dtype == to.dtype, "the dtypes of input and result differ"));
  HR_TRY(expect(from.elements() == to.elements(), "input and result differ in their number of elements"));
  copy_elements(from, to);
  return {};
}

std::optional<int64_t> Call::dim(std::string_view name) const {
  if (!attributes.contains(name)) return std::nullopt;
  const Dim value = attributes.get<Dim>(name, 0);
  return value.is_constant() ? std::optional(value.constant()) : std::nullopt;
}

Result<Sizes> Call::dims(std::string_view name) const {
  Sizes sizes;
  for (const Dim& dim : attributes.dims(name)) {
    HR_TRY(expect(dim.is_constant(), "a size is not known"));
    sizes.push_back(dim.constant());
  }
  return sizes;
}

Result<size_t> Call::axis(std::string_view name, int64_t rank, int64_t fallback) const {
  const int64_t axis = attributes.integer(name, fallback);
  if (axis < 0 || axis >= rank) return corrupt("{}: {}: axis {} of a rank {}", label, kernel, axis, rank);
  return static_cast<size_t>(axis);
}

Bytes scratch_need(std::span<const View* const> inputs, std::span<const View> outputs) {
  Bytes need;
  for (const View* view : inputs)
    if (view) need += Scratch::need(view->elements());
  for (const View& view : outputs) need += Scratch::need(view.elements());
  return need;
}

const Op* find_op(std::string_view name) {
  static const std::map<std::string_view, const Op*> table = [] {
    std::map<std::string_view, const Op*> ops;
    for (const std::span<const Op> family :
         {pointwise_ops(), matmul_ops(), conv_ops(), norm_ops(), attention_ops(), reduce_ops(), pool_ops(),
          layout_ops(), gather_ops(), create_ops()})
      for (const Op& op : family) ops.emplace(op.name, &op);
    return ops;
  }();
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

Status apply_epilogue(const Call& call, const Array& array) {
  const std::string name = call.attributes.text("epilogue");
  if (name.empty()) return {};
  const PointwiseInfo* function = find_pointwise(name);
  HR_TRY(call.expect(function && function->operands == 1 && !function->to_bool && is_float(array.dtype),
                     "the epilogue is no unary function of floats"));
  const DType dtype = array.dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  const Operand operand{dtype, array.floats.data(), nullptr};
  apply(function->function, dtype, {&operand, 1}, array.elements(), array.floats.data(), nullptr);
  return {};
}

Status add_operand(const Call& call, size_t index, const Array& array) {
  if (!call.input(index)) return {};
  HR_ASSIGN(const Array added, call.load(index));
  HR_TRY(
      call.expect(can_broadcast(added.shape, array.shape) && is_float(added.dtype) == is_float(array.dtype),
                  "bias or residual does not broadcast to the result"));
  size_t next = 0;
  for_each_offset(array.shape, broadcast_strides(added.shape, array.shape), [&](int64_t from) {
    if (is_float(array.dtype))
      array.floats[next++] += added.floats[static_cast<size_t>(from)];
    else
      array.integers[next++] += added.integers[static_cast<size_t>(from)];
  });
  return {};
}

}  // namespace headrace::reference
