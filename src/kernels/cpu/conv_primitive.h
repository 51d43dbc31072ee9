// ConvPrimitive: oneDNN's convolution, or transpose of one, for a ConvShape.
#pragma once

#include "kernels/conv_shape.h"
#include "kernels/cpu/onednn.h"

namespace headrace::cpu {

struct ConvPrimitive {
  dnnl::primitive primitive;
  dnnl::memory::desc x, weight, bias, y, scratch;
  bool slow = false;  // only reference loops do it
};
// `weight` may be any_desc. Errors: kInternal where oneDNN does not take it.
Result<ConvPrimitive> make_conv(const ConvShape& shape, const dnnl::memory::desc& x,
                                const dnnl::memory::desc& weight, const dnnl::memory::desc* bias,
                                const dnnl::memory::desc& y, const dnnl::primitive_attr& attributes);

}  // namespace headrace::cpu
