#include "kernels/cpu/conv_primitive.h"

namespace headrace::cpu {

namespace {

template <class Desc, class Primitive>
Status make_as(const ConvShape& s, const dnnl::memory::desc& x, const dnnl::memory::desc& weight,
               const dnnl::memory::desc* bias, const dnnl::memory::desc& y,
               const dnnl::primitive_attr& attributes, dnnl::algorithm algorithm, ProductPrimitive& made) {
  return guarded("a convolution", [&] {
    const auto kind = dnnl::prop_kind::forward_inference;
    const Desc desc = bias ? Desc(cpu_engine(), kind, algorithm, x, weight, *bias, y, s.stride, s.dilation,
                                  s.low, s.high, attributes)
                           : Desc(cpu_engine(), kind, algorithm, x, weight, y, s.stride, s.dilation, s.low,
                                  s.high, attributes);
    made = make_product<Primitive>(desc, bias != nullptr);
  });
}

}  // namespace

Result<ProductPrimitive> make_conv(const ConvShape& shape, const dnnl::memory::desc& x,
                                   const dnnl::memory::desc& weight, const dnnl::memory::desc* bias,
                                   const dnnl::memory::desc& y, const dnnl::primitive_attr& attributes) {
  ProductPrimitive made;
  if (shape.transposed) {
    using Desc = dnnl::deconvolution_forward::primitive_desc;
    HR_TRY((make_as<Desc, dnnl::deconvolution_forward>(shape, x, weight, bias, y, attributes,
                                                       dnnl::algorithm::deconvolution_direct, made)));
  } else {
    using Desc = dnnl::convolution_forward::primitive_desc;
    HR_TRY((make_as<Desc, dnnl::convolution_forward>(shape, x, weight, bias, y, attributes,
                                                     dnnl::algorithm::convolution_direct, made)));
  }
  return made;
}

}  // namespace headrace::cpu
