// Ops that only move elements.
#include <algorithm>

#include "kernels/reference/op.h"

namespace headrace::reference {

namespace {

// A window of `view` along an axis.
View window(const View& view, size_t axis, int64_t start, int64_t size, int64_t step = 1) {
  View result = view;
  if (view.data && size > 0) result.data += start * view.strides[axis] * dtype_size(view.dtype);
  result.shape[axis] = size;
  result.strides[axis] *= step;
  return result;
}

Status expect_shape(const Call& call, const Sizes& shape) {
  return call.expect(call.outputs[0].shape == shape, "the result has another shape");
}

Status reshape(const Call& call) {
  HR_TRY(call.expect(call.input(0) != nullptr, "the operand is absent"));
  return call.copy(*call.input(0));
}

Status transpose(const Call& call) {
  HR_TRY(call.expect(call.input(0) != nullptr, "the operand is absent"));
  const View& x = *call.input(0);
  std::vector<int64_t> perm = call.attributes.integers("perm"), sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  bool is_permutation = static_cast<int64_t>(perm.size()) == x.rank();
  for (size_t i = 0; i < sorted.size(); ++i) is_permutation &= sorted[i] == static_cast<int64_t>(i);
  HR_TRY(call.expect(is_permutation, "perm is no permutation of the axes"));
  const View moved = permute(x, perm);
  HR_TRY(expect_shape(call, moved.shape));
  return call.copy(moved);
}

Status expand(const Call& call) {
  HR_TRY(call.expect(call.input(0) != nullptr, "the operand is absent"));
  const View& x = *call.input(0);
  const Sizes& shape = call.outputs[0].shape;
  HR_TRY(call.expect(can_broadcast(x.shape, shape), "the operand does not broadcast to the result"));
  View spread{x.dtype, shape, Sizes(shape.size(), 0), x.data};
  const size_t added = shape.size() - x.shape.size();
  for (size_t i = 0; i < x.shape.size(); ++i)
    if (x.shape[i] == shape[added + i]) spread.strides[added + i] = x.strides[i];
  return call.copy(spread);
}

Status slice(const Call& call) {
  HR_TRY(call.expect(call.input(0) != nullptr, "the operand is absent"));
  const View& x = *call.input(0);
  HR_ASSIGN(const size_t axis, call.axis("axis", x.rank()));
  const int64_t start = call.dim("start").value_or(0), stop = call.dim("stop").value_or(x.shape[axis]);
  const int64_t step = call.attributes.integer("step", 1);
  HR_TRY(call.expect(step >= 1 && step < (int64_t{1} << 31), "the step is not positive"));
  if (start < 0 || start > stop || stop > x.shape[axis])
    return invalid_argument("{}: slice [{}, {}) of axis {}, whose size is {}", call.label, start, stop, axis,
                            x.shape[axis]);
  const View part = window(x, axis, start, (stop - start + step - 1) / step, step);
  HR_TRY(expect_shape(call, part.shape));
  return call.copy(part);
}

Status concat(const Call& call) {
  const View& to = call.outputs[0];
  HR_ASSIGN(const size_t axis, call.axis("axis", to.rank()));
  int64_t start = 0;
  for (const View* from : call.inputs) {
    HR_TRY(call.expect(from && from->rank() == to.rank() && from->dtype == to.dtype,
                       "an operand's rank or dtype is not the result's"));
    const int64_t size = from->shape[axis];
    HR_TRY(call.expect(size <= to.shape[axis] - start, "the operands are larger than the result"));
    const View part = window(to, axis, start, size);
    HR_TRY(call.expect(from->shape == part.shape, "the operands' sizes differ"));
    copy_elements(*from, part);
    start += size;
  }
  return call.expect(start == to.shape[axis], "the operands are smaller than the result");
}

Status pad(const Call& call) {
  HR_ASSIGN(const Array x, call.load(0));
  const View& to = call.outputs[0];
  const std::vector<int64_t> low = call.attributes.integers("low"), high = call.attributes.integers("high");
  HR_TRY(call.expect(low.size() == x.shape.size() && high.size() == x.shape.size(),
                     "low or high has another rank"));
  Sizes shape = x.shape;
  for (size_t i = 0; i < shape.size(); ++i) {
    HR_TRY(call.expect(low[i] >= 0 && high[i] >= 0 && low[i] <= to.shape[i] && high[i] <= to.shape[i],
                       "a padding is negative or larger than the result"));
    shape[i] += low[i] + high[i];
  }
  HR_ASSIGN(const Array out, call.scratch.make(x.dtype, shape));
  const double value = call.attributes.number("value");
  std::fill(out.floats.begin(), out.floats.end(), value);
  std::fill(out.integers.begin(), out.integers.end(), static_cast<int64_t>(value));
  const Sizes strides = row_major_strides(std::span<const int64_t>(shape));
  int64_t origin = 0;
  for (size_t i = 0; i < shape.size(); ++i) origin += low[i] * strides[i];
  size_t next = 0;
  for_each_offset(x.shape, strides, [&](int64_t offset) {
    const auto at = static_cast<size_t>(origin + offset);
    if (is_float(x.dtype))
      out.floats[at] = x.floats[next];
    else
      out.integers[at] = x.integers[next];
    ++next;
  });
  return call.store(out);
}

constexpr Op kOps[] = {{"reshape", 1, 1, 1, reshape}, {"transpose", 1, 1, 1, transpose},
                       {"expand", 1, 1, 1, expand},   {"slice", 1, 1, 1, slice},
                       {"concat", 1, -1, 1, concat},  {"pad", 1, 1, 1, pad}};

}  // namespace

std::span<const Op> layout_ops() { return kOps; }

}  // namespace headrace::reference
