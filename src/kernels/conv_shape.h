// ConvShape: a convolution's attributes and sizes, in the terms of the libraries that run it.
#pragma once

#include <optional>

#include "core/attributes.h"
#include "core/shape.h"

namespace headrace {

struct ConvShape {
  // From attributes of the conv op; x is [N, C, spatial..]. nullopt where they do not go together.
  static std::optional<ConvShape> make(const AttributeMap& attributes, const Sizes& x, const Sizes& weight);

  bool transposed = false;
  int64_t groups = 1;
  Sizes x, y;                    // [N, C, spatial..]
  Sizes weight, weight_strides;  // [groups,] outputs, inputs, kernel..: strides of the row-major IR weight
  Sizes stride, dilation, low, high;  // dilation: 0 is none; high: less the output padding
};

// Dense [N, spatial.., C] (or [N, C, spatial..]) memory of a tensor whose sizes are given as [N, C,
// spatial..].
Sizes conv_strides(const Sizes& sizes, bool channels_last);

}  // namespace headrace
