#include "kernels/conv_shape.h"

#include <algorithm>

namespace headrace {

namespace {

// The attribute, or `fallback` for each spatial dim; nullopt where it has another length or a value below
// `least`.
std::optional<Sizes> spatial(const AttributeMap& attributes, std::string_view name, size_t dims,
                             int64_t fallback, int64_t least) {
  constexpr int64_t kMost = 1 << 30;
  if (!attributes.contains(name)) return Sizes(dims, fallback);
  Sizes values = attributes.integers(name);
  if (values.size() != dims) return std::nullopt;
  for (const int64_t value : values)
    if (value < least || value > kMost) return std::nullopt;
  return values;
}

}  // namespace

std::optional<ConvShape> ConvShape::make(const AttributeMap& attributes, const Sizes& x,
                                         const Sizes& weight) {
  ConvShape s;
  const size_t rank = x.size();
  if (rank < 3 || rank > 5 || weight.size() != rank) return std::nullopt;
  const size_t dims = rank - 2;
  s.transposed = attributes.flag("transposed");
  s.groups = attributes.integer("groups", 1);
  const auto stride = spatial(attributes, "stride", dims, 1, 1);
  const auto dilation = spatial(attributes, "dilation", dims, 1, 1);
  const auto low = spatial(attributes, "pad_low", dims, 0, 0);
  const auto high = spatial(attributes, "pad_high", dims, 0, 0);
  const auto extra = spatial(attributes, "output_padding", dims, 0, 0);
  if (!stride || !dilation || !low || !high || !extra || s.groups < 1) return std::nullopt;
  for (size_t i = 0; i < rank; ++i)
    if (x[i] < 0 || weight[i] < 1) return std::nullopt;
  s.x = x;
  s.stride = *stride;
  s.low = *low;
  s.high = *high;
  s.dilation = *dilation;
  for (int64_t& d : s.dilation) --d;

  // w is [outputs, inputs / groups, k..], or for the transpose [inputs, outputs / groups, k..].
  const int64_t first = weight[0], second = weight[1];
  if (first % s.groups != 0 || x[1] != (s.transposed ? first : second * s.groups)) return std::nullopt;
  const int64_t outputs = s.transposed ? second * s.groups : first;
  const Sizes dense = row_major_strides(weight);
  const int64_t per_group = first / s.groups;
  s.weight = s.transposed ? Sizes{second, per_group} : Sizes{per_group, second};
  s.weight_strides = s.transposed ? Sizes{dense[1], dense[0]} : Sizes{dense[0], dense[1]};
  if (s.groups > 1) {
    s.weight.insert(s.weight.begin(), s.groups);
    s.weight_strides.insert(s.weight_strides.begin(), per_group * dense[0]);
  }
  s.y = {x[0], outputs};
  for (size_t i = 0; i < dims; ++i) {
    const int64_t kernel = weight[i + 2], span = (kernel - 1) * (s.dilation[i] + 1) + 1;
    s.weight.push_back(kernel);
    s.weight_strides.push_back(dense[i + 2]);
    const int64_t padding = s.low[i] + s.high[i];
    const int64_t room = x[i + 2] + padding - span;
    const int64_t size = s.transposed ? (x[i + 2] - 1) * s.stride[i] - padding + span + (*extra)[i]
                         : room < 0   ? 0
                                      : room / s.stride[i] + 1;
    s.y.push_back(std::max<int64_t>(size, 0));
    // oneDNN derives the size from the padding, exactly.
    if (s.transposed) s.high[i] -= (*extra)[i];
  }
  return s;
}

Sizes conv_strides(const Sizes& sizes, bool channels_last) {
  Sizes strides(sizes.size());
  int64_t stride = 1;
  if (channels_last) {
    strides[1] = stride;
    stride *= std::max<int64_t>(sizes[1], 1);
  }
  for (size_t i = sizes.size(); i-- > 0;) {
    if (i == 1 && channels_last) continue;
    strides[i] = stride;
    stride *= std::max<int64_t>(sizes[i], 1);
  }
  return strides;
}

}  // namespace headrace
