// ConvShape: a convolution's attributes and sizes in oneDNN's terms.
#pragma once

#include <optional>

#include "core/attributes.h"
#include "kernels/cpu/onednn.h"

namespace headrace::cpu {

struct ConvShape {
  // From attributes of the conv op; x is [N, C, spatial..]. nullopt where they do not go together.
  static std::optional<ConvShape> make(const AttributeMap& attributes, const Sizes& x, const Sizes& weight);

  bool transposed = false;
  int64_t groups = 1;
  Sizes x, y;                    // [N, C, spatial..]
  Sizes weight, weight_strides;  // [groups,] outputs, inputs, kernel..: strides of the row-major IR weight
  Sizes stride, dilation, low, high;  // dilation: 0 is none; high: as oneDNN takes it
};

// A forward convolution or its transpose; `slow` where only reference loops do it.
struct ConvPrimitive {
  dnnl::primitive primitive;
  dnnl::memory::desc x, weight, bias, y, scratch;
  bool slow = false;
};
// `weight` may be any_desc. Errors: kInternal where oneDNN does not take it.
Result<ConvPrimitive> make_conv(const ConvShape& shape, const dnnl::memory::desc& x,
                                const dnnl::memory::desc& weight, const dnnl::memory::desc* bias,
                                const dnnl::memory::desc& y, const dnnl::primitive_attr& attributes);

// Dense [N, spatial.., C] (or [N, C, spatial..]) memory of a tensor whose sizes are given as [N, C,
// spatial..].
Sizes conv_strides(const Sizes& sizes, bool channels_last);

}  // namespace headrace::cpu
