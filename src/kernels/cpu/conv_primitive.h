// make_conv: oneDNN's convolution, or transpose of one, for a ConvShape.
#pragma once

#include "kernels/conv_shape.h"
#include "kernels/cpu/onednn.h"

namespace headrace::cpu {

// `weight` may be any_desc. Errors: kInternal where oneDNN does not take it.
Result<ProductPrimitive> make_conv(const ConvShape& shape, const dnnl::memory::desc& x,
                                   const dnnl::memory::desc& weight, const dnnl::memory::desc* bias,
                                   const dnnl::memory::desc& y, const dnnl::primitive_attr& attributes);

}  // namespace headrace::cpu
