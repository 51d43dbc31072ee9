// Padding, and pixels moved between channels and space.
#include <algorithm>

#include "frontend/overload.h"

namespace headrace::frontend {
namespace {

using Ints = std::vector<int64_t>;

struct Padding {
  Ints low, high;  // one a dim; negative ones cut away
};

// PyTorch's list goes from the last dim to the first: low, high, low, high.
Result<Padding> padding_of(OpCall& c, std::string_view name, int64_t rank) {
  HR_ASSIGN(const Ints list, c.integers(name));
  Padding padding{Ints(static_cast<size_t>(rank)), Ints(static_cast<size_t>(rank))};
  if (list.size() % 2 != 0 || list.size() / 2 > padding.low.size())
    return unsupported("{} has {} numbers for a tensor of rank {}", name, list.size(), rank);
  for (size_t i = 0; i < list.size() / 2; ++i) {
    padding.low[padding.low.size() - 1 - i] = list[2 * i];
    padding.high[padding.high.size() - 1 - i] = list[2 * i + 1];
  }
  return padding;
}

Emitted constant_pad(OpCall& c, double fill) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(Padding padding, padding_of(c, "pad", x->rank()));
  for (size_t i = 0; i < padding.low.size(); ++i) {
    const Dim start = std::max<int64_t>(-padding.low[i], 0), cut = std::max<int64_t>(-padding.high[i], 0);
    HR_ASSIGN(x, c.slice(x, static_cast<int64_t>(i), start, x->shape()[i] - cut));
    padding.low[i] = std::max<int64_t>(padding.low[i], 0);
    padding.high[i] = std::max<int64_t>(padding.high[i], 0);
  }
  const Ints none(padding.low.size(), 0);
  if (padding.low == none && padding.high == none) return x;
  return c.add("pad", {x}, {{"low", padding.low}, {"high", padding.high}, {"value", fill}});
}

Emitted constant_pad_nd(OpCall& c) {
  HR_ASSIGN(const double fill, c.constant("value"));
  return constant_pad(c, fill);
}

enum class Mode { kReflect, kReplicate, kCircular };

// One dim, by an index of where each element comes from.
Emitted pad_by_index(OpCall& c, Value* x, int64_t axis, int64_t low, int64_t high, Mode mode) {
  if (low < 0 || high < 0) return unsupported("negative padding is supported with constants alone");
  const Dim size = x->shape()[static_cast<size_t>(axis)];
  std::vector<Value*> parts;
  const auto add_part = [&](const Emitted& part) -> Status {
    HR_TRY(part.ok() ? Status() : part.status());
    parts.push_back(*part);
    return {};
  };
  const auto repeated = [&](const Dim& at, int64_t times) {
    return c.expand(c.number(DType::kI64, at), {Dim(times)});
  };
  if (low > 0) {
    HR_TRY(add_part(mode == Mode::kReflect    ? c.iota(low, low, -1)
                    : mode == Mode::kCircular ? c.iota(size - Dim(low), low)
                                              : repeated(0, low)));
  }
  HR_TRY(add_part(c.iota(0, size)));
  if (high > 0) {
    HR_TRY(add_part(mode == Mode::kReflect    ? c.iota(size - Dim(2), high, -1)
                    : mode == Mode::kCircular ? c.iota(0, high)
                                              : repeated(size - Dim(1), high)));
  }
  return c.add("gather", {x, c.concat(std::move(parts), 0)}, {{"axis", axis}});
}

Emitted pad_with(OpCall& c, std::string_view name, Mode mode) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const Padding padding, padding_of(c, name, x->rank()));
  for (size_t i = 0; i < padding.low.size(); ++i) {
    if (padding.low[i] == 0 && padding.high[i] == 0) continue;
    HR_ASSIGN(x, pad_by_index(c, x, static_cast<int64_t>(i), padding.low[i], padding.high[i], mode));
  }
  return x;
}

template <Mode mode>
Emitted pad_in_mode(OpCall& c) {
  return pad_with(c, "padding", mode);
}

Emitted pad(OpCall& c) {
  const std::string mode = c.text("mode");
  if (mode == "constant") return constant_pad(c, c.has("value") ? c.real("value") : 0);
  if (mode == "reflect") return pad_with(c, "pad", Mode::kReflect);
  if (mode == "replicate") return pad_with(c, "pad", Mode::kReplicate);
  if (mode == "circular") return pad_with(c, "pad", Mode::kCircular);
  return unsupported("mode = '{}' is not supported; constant, reflect, replicate and circular are", mode);
}

// The dims before the last three, which these ops leave alone.
Result<Shape> leading_dims(const Value* x) {
  if (x->rank() < 3) return unsupported("a tensor of rank {} is not supported; 3 and more are", x->rank());
  return Shape(x->shape().begin(), x->shape().end() - 3);
}

// The dims before `lead` as they are, then those of `tail`, counted from `lead`.
Ints perm_of(size_t lead, std::initializer_list<int64_t> tail) {
  Ints perm(lead);
  for (size_t i = 0; i < lead; ++i) perm[i] = static_cast<int64_t>(i);
  for (const int64_t axis : tail) perm.push_back(static_cast<int64_t>(lead) + axis);
  return perm;
}

Shape joined(Shape shape, std::initializer_list<Dim> tail) {
  shape.insert(shape.end(), tail.begin(), tail.end());
  return shape;
}

// [C * r * r, H, W] -> [C, H * r, W * r]
Emitted pixel_shuffle(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const Shape lead, leading_dims(x));
  const Dim r = c.dim("upscale_factor"), channels = c.shape()[lead.size()];
  const Dim height = x->shape()[lead.size() + 1], width = x->shape()[lead.size() + 2];
  const Emitted apart = c.reshape(x, joined(lead, {channels, r, r, height, width}));
  return c.reshape(c.transpose(apart, perm_of(lead.size(), {0, 3, 1, 4, 2})), c.shape());
}

Emitted pixel_unshuffle(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  HR_ASSIGN(const Shape lead, leading_dims(x));
  const Dim r = c.dim("downscale_factor"), channels = x->shape()[lead.size()];
  const Dim height = c.shape()[lead.size() + 1], width = c.shape()[lead.size() + 2];
  const Emitted apart = c.reshape(x, joined(lead, {channels, height, r, width, r}));
  return c.reshape(c.transpose(apart, perm_of(lead.size(), {0, 2, 4, 1, 3})), c.shape());
}

// [N, g * C, ..] -> [N, C * g, ..]
Emitted channel_shuffle(OpCall& c) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  const Dim groups = c.dim("groups");
  if (x->rank() < 3) return unsupported("a tensor of rank {} is not supported; 3 and more are", x->rank());
  Shape apart = {x->shape()[0], groups, Dim::floor_div(x->shape()[1], groups)};
  apart.insert(apart.end(), x->shape().begin() + 2, x->shape().end());
  Ints perm = {0, 2, 1};
  for (size_t i = 3; i < apart.size(); ++i) perm.push_back(static_cast<int64_t>(i));
  return c.reshape(c.transpose(c.reshape(x, apart), std::move(perm)), c.shape());
}

constexpr Overload kRows[] = {
    {"constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor", constant_pad_nd},
    {"pad(Tensor self, SymInt[] pad, str mode=\"constant\", float? value=None) -> Tensor", pad},
    {"reflection_pad1d(Tensor self, SymInt[2] padding) -> Tensor", pad_in_mode<Mode::kReflect>},
    {"reflection_pad2d(Tensor self, SymInt[4] padding) -> Tensor", pad_in_mode<Mode::kReflect>},
    {"reflection_pad3d(Tensor self, SymInt[6] padding) -> Tensor", pad_in_mode<Mode::kReflect>},
    {"replication_pad1d(Tensor self, SymInt[2] padding) -> Tensor", pad_in_mode<Mode::kReplicate>},
    {"replication_pad2d(Tensor self, SymInt[4] padding) -> Tensor", pad_in_mode<Mode::kReplicate>},
    {"replication_pad3d(Tensor self, SymInt[6] padding) -> Tensor", pad_in_mode<Mode::kReplicate>},
    {"pixel_shuffle(Tensor self, int upscale_factor) -> Tensor", pixel_shuffle},
    {"pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor", pixel_unshuffle},
    {"channel_shuffle(Tensor self, SymInt groups) -> Tensor", channel_shuffle},
};

}  // namespace

std::span<const Overload> pad_overloads() { return kRows; }

}  // namespace headrace::frontend
