// Elements chosen by index.
#include <algorithm>

#include "kernels/reference/op.h"

namespace headrace::reference {

namespace {

// An index counted from the start. Errors: kInvalidArgument naming step, index and size.
Result<int64_t> resolve(const Call& call, int64_t index, int64_t size) {
  if (index >= -size && index < size) return index < 0 ? index + size : index;
  return invalid_argument("{}: index {} is out of range for size {}", call.label, index, size);
}

Status resolve_all(const Call& call, std::span<int64_t> indices, int64_t size) {
  for (int64_t& index : indices) {
    HR_ASSIGN(index, resolve(call, index, size));
  }
  return {};
}

Result<Array> load_indices(const Call& call, size_t operand) {
  HR_ASSIGN(Array indices, call.load(operand));
  HR_TRY(
      call.expect(!is_float(indices.dtype) && indices.dtype != DType::kBool, "the indices are no integers"));
  return indices;
}

Status gather_rows(const Call& call, const View& x, const Array& indices) {
  const View& to = call.outputs[0];
  HR_TRY(call.expect(to.dtype == x.dtype, "the dtypes of input and result differ"));
  const std::span<const int64_t> rows(indices.integers);
  if (is_row_major(to)) return call.rows->gather(rows, to.data);
  std::vector<std::byte> dense(static_cast<size_t>(to.elements() * dtype_size(to.dtype)));
  HR_TRY(call.rows->gather(rows, dense.data()));
  copy_elements(dense_view(to.dtype, to.shape, dense.data()), to);
  return {};
}

Status gather(const Call& call) {
  HR_TRY(call.expect(call.input(0) && call.input(1), "an operand is absent"));
  const View& x = *call.input(0);
  HR_ASSIGN(const size_t axis, call.axis("axis", x.rank()));
  HR_ASSIGN(const Array indices, load_indices(call, 1));
  Sizes shape(x.shape.begin(), x.shape.begin() + static_cast<int64_t>(axis));
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), x.shape.begin() + static_cast<int64_t>(axis) + 1, x.shape.end());
  HR_TRY(call.expect(call.outputs[0].shape == shape, "the result has another shape"));
  HR_TRY(resolve_all(call, indices.integers, x.shape[axis]));
  if (call.rows) {
    HR_TRY(call.expect(axis == 0, "rows are gathered along axis 0"));
    return gather_rows(call, x, indices);
  }
  const View& to = call.outputs[0];
  HR_TRY(call.expect(to.dtype == x.dtype, "the dtypes of input and result differ"));
  // The result as [before, indices, after]; x as [before, size, after].
  const int64_t size = dtype_size(x.dtype);
  View from = x, target = to;
  from.shape.erase(from.shape.begin() + static_cast<int64_t>(axis));
  from.strides.erase(from.strides.begin() + static_cast<int64_t>(axis));
  const auto first = static_cast<int64_t>(axis), last = first + static_cast<int64_t>(indices.shape.size());
  const Sizes index_strides(to.strides.begin() + first, to.strides.begin() + last);
  target.shape = from.shape;
  target.strides.erase(target.strides.begin() + first, target.strides.begin() + last);
  size_t next = 0;
  for_each_offset(indices.shape, index_strides, [&](int64_t offset) {
    View source = from, place = target;
    source.data += indices.integers[next++] * x.strides[axis] * size;
    place.data += offset * size;
    copy_elements(source, place);
  });
  return {};
}

// out[i] = x[at(i)] for all i, of whatever dtype; `positions` count elements of x in row-major order.
Status pick(const Call& call, const Sizes& shape, const std::vector<int64_t>& positions) {
  HR_ASSIGN(const Array x, call.load(0));
  HR_ASSIGN(const Array out, call.scratch.make(x.dtype, shape));
  for (size_t i = 0; i < positions.size(); ++i) {
    const auto from = static_cast<size_t>(positions[i]);
    if (is_float(x.dtype))
      out.floats[i] = x.floats[from];
    else
      out.integers[i] = x.integers[from];
  }
  return call.store(out);
}

Status gather_elements(const Call& call) {
  HR_TRY(call.expect(call.input(0) != nullptr, "an operand is absent"));
  const View& x = *call.input(0);
  HR_ASSIGN(const size_t axis, call.axis("axis", x.rank()));
  HR_ASSIGN(const Array indices, load_indices(call, 1));
  HR_TRY(call.expect(indices.shape.size() == x.shape.size(), "input and indices differ in rank"));
  for (size_t i = 0; i < x.shape.size(); ++i)
    HR_TRY(call.expect(i == axis || indices.shape[i] <= x.shape[i], "the indices are larger than the input"));
  HR_TRY(resolve_all(call, indices.integers, x.shape[axis]));
  Sizes strides = row_major_strides(std::span<const int64_t>(x.shape));
  const int64_t along = strides[axis];
  strides[axis] = 0;
  std::vector<int64_t> positions;
  for_each_offset(indices.shape, strides,
                  [&](int64_t at) { positions.push_back(at + indices.integers[positions.size()] * along); });
  return pick(call, indices.shape, positions);
}

Status index(const Call& call) {
  HR_TRY(call.expect(call.input(0) != nullptr, "an operand is absent"));
  const View& x = *call.input(0);
  const size_t count = call.inputs.size() - 1;
  const Sizes& shape = call.outputs[0].shape;
  HR_TRY(call.expect(count <= x.shape.size(), "more indices than dimensions"));
  const Sizes rest(x.shape.begin() + static_cast<int64_t>(count), x.shape.end());
  HR_TRY(call.expect(shape.size() >= rest.size() && std::equal(rest.rbegin(), rest.rend(), shape.rbegin()),
                     "the result has another shape"));
  const Sizes picked(shape.begin(), shape.end() - static_cast<int64_t>(rest.size()));
  const Sizes strides = row_major_strides(std::span<const int64_t>(x.shape));
  std::vector<int64_t> starts(static_cast<size_t>(element_count(std::span<const int64_t>(picked))), 0);
  for (size_t i = 0; i < count; ++i) {
    HR_ASSIGN(const Array indices, load_indices(call, i + 1));
    HR_TRY(call.expect(can_broadcast(indices.shape, picked), "the indices do not broadcast to the result"));
    HR_TRY(resolve_all(call, indices.integers, x.shape[i]));
    size_t next = 0;
    for_each_offset(picked, broadcast_strides(indices.shape, picked), [&](int64_t at) {
      starts[next++] += indices.integers[static_cast<size_t>(at)] * strides[i];
    });
  }
  const int64_t inner = element_count(std::span<const int64_t>(rest));
  std::vector<int64_t> positions;
  for (const int64_t start : starts)
    for (int64_t i = 0; i < inner; ++i) positions.push_back(start + i);
  return pick(call, shape, positions);
}

constexpr Op kOps[] = {
    {"gather", 2, 2, 1, gather}, {"gather_elements", 2, 2, 1, gather_elements}, {"index", 1, -1, 1, index}};

}  // namespace

std::span<const Op> gather_ops() { return kOps; }

}  // namespace headrace::reference
