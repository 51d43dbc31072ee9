#include <cmath>

#include "kernels/reference/op.h"

namespace headrace::reference {

namespace {

// An optional operand of `count` numbers; an empty array where it is absent.
Result<Array> load_optional(const Call& call, size_t index, int64_t count) {
  if (!call.input(index)) return Array{};
  HR_ASSIGN(Array array, call.load_float(index));
  HR_TRY(call.expect(array.elements() == count, "a scale or bias has another number of elements"));
  return array;
}

double scaled(double value, const Array& scale, const Array& bias, size_t at) {
  if (!scale.floats.empty()) value *= scale.floats[at];
  if (!bias.floats.empty()) value += bias.floats[at];
  return value;
}

// The elements after `axis`, exclusive.
int64_t inner_count(const Sizes& shape, size_t axis) {
  return element_count(std::span<const int64_t>(shape).subspan(axis + 1));
}

Status batch_norm(const Call& call) {
  HR_ASSIGN(const Array x, call.load_float(0));
  HR_ASSIGN(const size_t axis, call.axis("axis", static_cast<int64_t>(x.shape.size()), 1));
  const int64_t channels = x.shape[axis], inner = inner_count(x.shape, axis);
  HR_ASSIGN(const Array scale, load_optional(call, 1, channels));
  HR_ASSIGN(const Array bias, load_optional(call, 2, channels));
  HR_TRY(call.expect(call.input(3) && call.input(4), "mean or variance is absent"));
  HR_ASSIGN(const Array mean, load_optional(call, 3, channels));
  HR_ASSIGN(const Array variance, load_optional(call, 4, channels));
  const double eps = call.attributes.number("eps");
  for (size_t i = 0; i < x.floats.size(); ++i) {
    const auto c = static_cast<size_t>(static_cast<int64_t>(i) / inner % channels);
    const double centred = (x.floats[i] - mean.floats[c]) / std::sqrt(variance.floats[c] + eps);
    x.floats[i] = scaled(centred, scale, bias, c);
  }
  return call.store(x);
}

enum class Centre : bool { no, yes };

// (row - mean) / sqrt(variance + eps), or row / sqrt(mean square + eps).
void normalise(std::span<double> row, double eps, Centre centre) {
  const auto count = static_cast<double>(row.size());
  double mean = 0, squares = 0;
  if (centre == Centre::yes) {
    for (const double x : row) mean += x;
    mean /= count;
  }
  for (const double x : row) squares += (x - mean) * (x - mean);
  const double scale = 1 / std::sqrt(squares / count + eps);
  for (double& x : row) x = (x - mean) * scale;
}

Status normalise_trailing(const Call& call, Centre centre, size_t bias_index) {
  HR_ASSIGN(const Array x, call.load_float(0));
  const int64_t axes = call.attributes.integer("axes", 1), rank = static_cast<int64_t>(x.shape.size());
  HR_TRY(call.expect(axes >= 1 && axes <= rank, "axes must be from 1 to the rank"));
  const int64_t size = element_count(std::span<const int64_t>(x.shape).last(static_cast<size_t>(axes)));
  HR_ASSIGN(const Array scale, load_optional(call, 1, size));
  HR_ASSIGN(const Array bias, load_optional(call, bias_index, size));
  const double eps = call.attributes.number("eps");
  const auto count = static_cast<size_t>(size);
  for (size_t start = 0; count > 0 && start < x.floats.size(); start += count) {
    const std::span<double> row = x.floats.subspan(start, count);
    normalise(row, eps, centre);
    for (size_t i = 0; i < count; ++i) row[i] = scaled(row[i], scale, bias, i);
  }
  return call.store(x);
}

Status layer_norm(const Call& call) { return normalise_trailing(call, Centre::yes, 2); }
Status rms_norm(const Call& call) { return normalise_trailing(call, Centre::no, 2); }

Status group_norm(const Call& call) {
  HR_ASSIGN(const Array x, call.load_float(0));
  const int64_t groups = call.attributes.integer("groups", 1);
  HR_TRY(call.expect(x.shape.size() >= 2 && groups >= 1 && x.shape[1] % groups == 0,
                     "the groups do not divide the channels"));
  const int64_t channels = x.shape[1], inner = inner_count(x.shape, 1);
  HR_ASSIGN(const Array scale, load_optional(call, 1, channels));
  HR_ASSIGN(const Array bias, load_optional(call, 2, channels));
  const auto count = static_cast<size_t>(channels / groups * inner);
  for (size_t start = 0; count > 0 && start < x.floats.size(); start += count)
    normalise(x.floats.subspan(start, count), call.attributes.number("eps"), Centre::yes);
  for (size_t i = 0; i < x.floats.size(); ++i) {
    const auto c = static_cast<size_t>(static_cast<int64_t>(i) / inner % channels);
    x.floats[i] = scaled(x.floats[i], scale, bias, c);
  }
  return call.store(x);
}

constexpr Op kOps[] = {{"batch_norm", 5, 5, 1, batch_norm},
                       {"layer_norm", 1, 3, 1, layer_norm},
                       {"rms_norm", 1, 2, 1, rms_norm},
                       {"group_norm", 1, 3, 1, group_norm}};

}  // namespace

std::span<const Op> norm_ops() { return kOps; }

}  // namespace headrace::reference
