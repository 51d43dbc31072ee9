// Ops that slide a window: convolutions and pools.
#include "ir/infer.h"

namespace headrace::ir {
namespace {

// Where an image's channels and spatial dimensions are.
struct Image {
  size_t spatial = 0;  // number of spatial dimensions
  size_t channel = 1;  // index of the channel dimension
  size_t first = 2;    // index of the first spatial dimension
};

Result<Image> image_of(const Node& node, const Value& x) {
  if (x.rank() < 3 || x.rank() > 5) {
    return op_error(node, "x is {}; it needs 1 to 3 spatial dimensions", to_text(x.type()));
  }
  const bool last = node.attributes().flag("channels_last");
  const auto rank = static_cast<size_t>(x.rank());
  return Image{rank - 2, last ? rank - 1 : 1, last ? size_t{1} : size_t{2}};
}

Result<Sizes> per_dimension(const Node& node, std::string_view name, size_t count, int64_t fallback,
                            int64_t least) {
  Sizes values = node.attributes().integers(name);
  if (values.empty()) values.assign(count, fallback);
  if (values.size() != count)
    return op_error(node, "{} has {} entries for {} dimensions", name, values.size(), count);
  for (int64_t value : values) {
    if (value < least) return op_error(node, "{} {} is less than {}", name, value, least);
  }
  return values;
}

struct Windows {
  Sizes stride, dilation, pad_low, pad_high;
};
Result<Windows> windows_of(const Node& node, size_t count) {
  Windows windows;
  HR_ASSIGN(windows.stride, per_dimension(node, "stride", count, 1, 1));
  HR_ASSIGN(windows.dilation, per_dimension(node, "dilation", count, 1, 1));
  HR_ASSIGN(windows.pad_low, per_dimension(node, "pad_low", count, 0, 0));
  HR_ASSIGN(windows.pad_high, per_dimension(node, "pad_high", count, 0, 0));
  return windows;
}

// floor((size + low + high - dilation * (kernel - 1) - 1) / stride) + 1
Dim window_count(const Dim& size, const Windows& windows, size_t i, const Dim& kernel) {
  const Dim span = Dim(windows.dilation[i]) * (kernel - 1) + 1;
  return Dim::floor_div(size + Dim(windows.pad_low[i] + windows.pad_high[i]) - span, windows.stride[i]) + 1;
}

Status check_not_negative(const Node& node, const Dim& size) {
  if (size.is_constant() && size.constant() < 0)
    return op_error(node, "the window is larger than the padded input");
  return {};
}

Result<Types> infer_conv(const Node& node) {
  HR_TRY(require_present(node, {0, 1}));
  HR_TRY(require_same_dtype(node, {0, 1, 2}));
  HR_TRY(require_float(node, 0));
  const Value &x = *node.input(0), &w = *node.input(1);
  HR_ASSIGN(const Image image, image_of(node, x));
  HR_ASSIGN(const Windows windows, windows_of(node, image.spatial));
  HR_ASSIGN(const Sizes output_padding, per_dimension(node, "output_padding", image.spatial, 0, 0));
  const int64_t groups = node.attributes().integer("groups", 1);
  const bool transposed = node.attributes().flag("transposed");
  if (w.rank() != x.rank())
    return op_error(node, "x is {}, w is {}; their ranks must be equal", to_text(x.type()),
                    to_text(w.type()));
  if (groups < 1) return op_error(node, "groups is {}; it must be 1 at least", groups);
  const Dim channels = transposed ? w.shape()[0] : w.shape()[1] * groups;
  if (!(x.shape()[image.channel] == channels)) {
    return op_error(node, "x is {} with {} channels; w is {} and takes {}", to_text(x.type()),
                    x.shape()[image.channel].text(), to_text(w.type()), channels.text());
  }
  const Dim out_channels = transposed ? w.shape()[1] * groups : w.shape()[0];
  Type result{x.dtype(), x.shape()};
  result.shape[image.channel] = out_channels;
  for (size_t i = 0; i < image.spatial; ++i) {
    const Dim& size = x.shape()[image.first + i];
    const Dim& kernel = w.shape()[2 + i];
    Dim& out = result.shape[image.first + i];
    out = transposed ? (size - 1) * windows.stride[i] - (windows.pad_low[i] + windows.pad_high[i]) +
                           Dim(windows.dilation[i]) * (kernel - 1) + output_padding[i] + 1
                     : window_count(size, windows, i, kernel);
    HR_TRY(check_not_negative(node, out));
  }
  const Value* bias = node.input(2);
  if (bias != nullptr && bias->shape() != Shape{out_channels}) {
    return op_error(node, "bias is {}; it must be [{}]", to_text(bias->type()), out_channels.text());
  }
  HR_TRY(check_epilogue(node, 3, result, false));
  return Types{std::move(result)};
}

Result<Types> infer_pool(const Node& node) {
  HR_TRY(require_present(node, {0}));
  const Value& x = *node.input(0);
  HR_ASSIGN(const Image image, image_of(node, x));
  HR_ASSIGN(const Windows windows, windows_of(node, image.spatial));
  HR_ASSIGN(const Sizes kernel, per_dimension(node, "kernel", image.spatial, 1, 1));
  Type result = x.type();
  for (size_t i = 0; i < image.spatial; ++i) {
    Dim& out = result.shape[image.first + i];
    out = window_count(out, windows, i, kernel[i]);
    HR_TRY(check_not_negative(node, out));
  }
  return Types{std::move(result)};
}

Result<Types> infer_max_pool(const Node& node) {
  HR_TRY(require_present(node, {0}));
  if (node.input(0)->dtype() == DType::kBool)
    return op_error(node, "'{}' is bool; it must be numbers", node.input(0)->name());
  return infer_pool(node);
}

Result<Types> infer_avg_pool(const Node& node) {
  HR_TRY(require_present(node, {0}));
  HR_TRY(require_float(node, 0));
  return infer_pool(node);
}

Result<Types> infer_adaptive_pool(const Node& node) {
  HR_TRY(require_present(node, {0}));
  const Value& x = *node.input(0);
  HR_TRY(require_float(node, 0));
  HR_ASSIGN(const Image image, image_of(node, x));
  HR_ASSIGN(const Sizes output, per_dimension(node, "output", image.spatial, 1, 0));
  Type result = x.type();
  for (size_t i = 0; i < image.spatial; ++i) result.shape[image.first + i] = output[i];
  return Types{std::move(result)};
}

}  // namespace

std::vector<OpInfo> window_ops() {
  using enum AttributeKind;
  const AttributeInfo kernel{"kernel", kInts, true, "window sizes"};
  const AttributeInfo stride{"stride", kInts, false, "1s"};
  const AttributeInfo dilation{"dilation", kInts, false, "1s"};
  const AttributeInfo low{"pad_low", kInts, false, "padding before; 0s"};
  const AttributeInfo high{"pad_high", kInts, false, "padding after; 0s"};
  const AttributeInfo last{"channels_last", kBool, false, "x and the result are [N, spatial.., C]"};
  return {
      {"conv",
       2,
       4,
       {stride,
        dilation,
        low,
        high,
        last,
        {"groups", kInt, false, "1"},
        {"transposed", kBool, false, "the gradient of a convolution; w is [C, O/groups, k..]"},
        {"output_padding", kInts, false, "transposed only; 0s"},
        {"epilogue", kText, false, "a unary function of the sum"}},
       infer_conv,
       "epilogue(convolution + bias + residual); x is [N, C, spatial..], w is [O, C/groups, k..]."},
      {"max_pool",
       1,
       1,
       {kernel, stride, dilation, low, high, last},
       infer_max_pool,
       "Largest value of each window."},
      {"avg_pool",
       1,
       1,
       {kernel,
        stride,
        low,
        high,
        last,
        {"count_padding", kBool, false, "padding counts in the divisor"},
        {"divisor", kInt, false, "instead of the count; 0: the count"}},
       infer_avg_pool,
       "Mean of each window."},
      {"adaptive_avg_pool",
       1,
       1,
       {{"output", kInts, true, "spatial sizes of the result"}, last},
       infer_adaptive_pool,
       "Mean of each of `output` equal parts."},
  };
}

}  // namespace headrace::ir
