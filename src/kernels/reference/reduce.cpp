// Reductions over axes, arg_reduce, cumsum.
#include <algorithm>
#include <cmath>

#include "kernels/reference/op.h"

namespace headrace::reference {

namespace {

template <class T>
bool is_nan(T x) {
  return x != x;
}

template <class T>
T combine(const std::string& kind, T a, T b) {
  if (kind == "max") return is_nan(a) || a > b ? a : b;
  if (kind == "min") return is_nan(a) || a < b ? a : b;
  if constexpr (std::is_same_v<T, double>) {
    return kind == "prod" ? a * b : a + b;
  } else {  // wraps
    const auto x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);
    return static_cast<T>(kind == "prod" ? x * y : x + y);
  }
}

// Strides that lead from each element of x to the element of the result that takes it in.
template <class T>
void reduce_into(const std::string& kind, const Array& x, const Sizes& to_strides, const Array& out) {
  std::vector<bool> seen(static_cast<size_t>(out.elements()));
  const std::span<T> from = x.get<T>(), to = out.get<T>();
  if (kind == "prod") std::fill(to.begin(), to.end(), T{1});
  const bool from_first = kind == "max" || kind == "min";
  size_t next = 0;
  for_each_offset(x.shape, to_strides, [&](int64_t offset) {
    const auto at = static_cast<size_t>(offset);
    to[at] = from_first && !seen[at] ? from[next] : combine(kind, to[at], from[next]);
    seen[at] = true;
    ++next;
  });
}

void test_into(bool all, const Array& x, const Sizes& to_strides, const Array& out) {
  std::fill(out.integers.begin(), out.integers.end(), all ? 1 : 0);
  size_t next = 0;
  for_each_offset(x.shape, to_strides, [&](int64_t offset) {
    const bool holds = is_float(x.dtype) ? x.floats[next] != 0 : x.integers[next] != 0;
    if (holds != all) out.integers[static_cast<size_t>(offset)] = holds;
    ++next;
  });
}

struct Reduced {
  Sizes kept;     // the shape with 1 for each axis that is reduced
  Sizes dropped;  // without them
  Sizes strides;  // from elements of x to elements of the result
  int64_t count = 1;
};

Result<Reduced> reduced_shape(const Call& call, const Sizes& shape, const std::vector<int64_t>& axes) {
  std::vector<bool> gone(shape.size());
  for (const int64_t axis : axes) {
    HR_TRY(call.expect(axis >= 0 && axis < static_cast<int64_t>(shape.size()),
                       "an axis is outside of the rank"));
    gone[static_cast<size_t>(axis)] = true;
  }
  Reduced r;
  for (size_t i = 0; i < shape.size(); ++i) {
    r.kept.push_back(gone[i] ? 1 : shape[i]);
    if (gone[i])
      r.count *= shape[i];
    else
      r.dropped.push_back(shape[i]);
  }
  r.strides = broadcast_strides(r.kept, shape);
  for (size_t i = 0; i < shape.size(); ++i)
    if (gone[i]) r.strides[i] = 0;
  return r;
}

Status reduce(const Call& call) {
  HR_ASSIGN(const Array x, call.load(0));
  const std::string kind = call.attributes.text("kind");
  HR_ASSIGN(const Reduced r, reduced_shape(call, x.shape, call.attributes.integers("axes")));
  const bool tests = kind == "any" || kind == "all";
  HR_TRY(call.expect(
      tests || kind == "sum" || kind == "mean" || kind == "max" || kind == "min" || kind == "prod",
      "an unknown kind"));
  const Sizes& shape = call.attributes.flag("keepdim") ? r.kept : r.dropped;
  HR_ASSIGN(const Array out, call.scratch.make(tests ? DType::kBool : x.dtype, shape));
  if ((kind == "max" || kind == "min") && r.count == 0 && out.elements() > 0)
    return invalid_argument("{}: the {} of no elements does not exist", call.label, kind);
  if (tests) {
    test_into(kind == "all", x, r.strides, out);
  } else if (is_float(x.dtype)) {
    reduce_into<double>(kind, x, r.strides, out);
    if (kind == "mean")
      for (double& value : out.floats) value /= static_cast<double>(r.count);
  } else {
    HR_TRY(call.expect(kind != "mean", "a mean of integers"));
    reduce_into<int64_t>(kind, x, r.strides, out);
  }
  return call.store(out);
}

template <class T>
int64_t best(const std::span<T> x, int64_t start, int64_t stride, int64_t size, bool max) {
  int64_t found = 0;
  for (int64_t i = 1; i < size; ++i) {
    const T a = x[static_cast<size_t>(start + found * stride)],
            b = x[static_cast<size_t>(start + i * stride)];
    if (is_nan(a)) break;
    if (is_nan(b) || (max ? b > a : b < a)) found = i;
  }
  return found;
}

struct Lines {  // along one axis
  int64_t size, inner, outer;
};

Lines lines_of(const Array& x, size_t axis) {
  const std::span<const int64_t> shape(x.shape);
  return {x.shape[axis], element_count(shape.subspan(axis + 1)), element_count(shape.first(axis))};
}

Status arg_reduce(const Call& call) {
  HR_ASSIGN(const Array x, call.load(0));
  HR_ASSIGN(const size_t axis, call.axis("axis", static_cast<int64_t>(x.shape.size())));
  const std::string kind = call.attributes.text("kind");
  HR_TRY(call.expect(kind == "max" || kind == "min", "an unknown kind"));
  HR_ASSIGN(const Reduced r, reduced_shape(call, x.shape, {static_cast<int64_t>(axis)}));
  HR_ASSIGN(const Array out,
            call.scratch.make(DType::kI64, call.attributes.flag("keepdim") ? r.kept : r.dropped));
  const Lines lines = lines_of(x, axis);
  if (lines.size == 0 && out.elements() > 0)
    return invalid_argument("{}: the arg {} of no elements does not exist", call.label, kind);
  for (int64_t i = 0; i < out.elements(); ++i) {
    const int64_t start = i / lines.inner * lines.size * lines.inner + i % lines.inner;
    out.integers[static_cast<size_t>(i)] =
        is_float(x.dtype) ? best(x.floats, start, lines.inner, lines.size, kind == "max")
                          : best(x.integers, start, lines.inner, lines.size, kind == "max");
  }
  return call.store(out);
}

Status cumsum(const Call& call) {
  HR_ASSIGN(const Array x, call.load(0));
  HR_ASSIGN(const size_t axis, call.axis("axis", static_cast<int64_t>(x.shape.size())));
  const Lines lines = lines_of(x, axis);
  for (int64_t i = 0; i < x.elements(); ++i) {
    if (i / lines.inner % lines.size == 0) continue;
    const auto at = static_cast<size_t>(i), before = static_cast<size_t>(i - lines.inner);
    if (is_float(x.dtype))
      x.floats[at] += x.floats[before];
    else
      x.integers[at] = combine<int64_t>("sum", x.integers[at], x.integers[before]);
  }
  return call.store(x);
}

constexpr Op kOps[] = {
    {"reduce", 1, 1, 1, reduce}, {"arg_reduce", 1, 1, 1, arg_reduce}, {"cumsum", 1, 1, 1, cumsum}};

}  // namespace

std::span<const Op> reduce_ops() { return kOps; }

}  // namespace headrace::reference
