// Convolutions.
#include "frontend/overload.h"

namespace headrace::frontend {
namespace {

using Ints = std::vector<int64_t>;

struct Window {
  Ints stride, pad_low, pad_high, dilation, output_padding;
  bool transposed = false;
};

// A list of one entry stands for all dims.
void spread(Ints& list, size_t dims, int64_t fallback) {
  if (list.empty()) list.assign(dims, fallback);
  if (list.size() == 1) list.resize(dims, list.front());
}

Emitted convolve(OpCall& c, Window window) {
  HR_ASSIGN(Value * x, c.tensor("input"));
  HR_ASSIGN(Value * w, c.tensor("weight"));
  HR_ASSIGN(const int64_t groups, c.integer("groups"));
  if (w->rank() < 3) return unsupported("a weight of rank {} is not supported", w->rank());
  const auto dims = static_cast<size_t>(w->rank() - 2);
  spread(window.stride, dims, 1);
  spread(window.dilation, dims, 1);
  spread(window.pad_low, dims, 0);
  spread(window.pad_high, dims, 0);
  if (x->rank() == w->rank() - 1) {  // one image, without a batch
    HR_ASSIGN(x, c.unsqueeze(x, 0));
  }
  AttributeMap attributes = {
      {"stride", window.stride},     {"pad_low", window.pad_low}, {"pad_high", window.pad_high},
      {"dilation", window.dilation}, {"groups", groups},          {"transposed", window.transposed}};
  if (window.transposed) {
    spread(window.output_padding, dims, 0);
    attributes.set("output_padding", window.output_padding);
  }
  return c.reshape(c.add("conv", {x, w, c.optional_tensor("bias")}, std::move(attributes)), c.shape());
}

Result<Window> read_window(OpCall& c) {
  Window window;
  HR_ASSIGN(window.stride, c.integers("stride"));
  HR_ASSIGN(window.pad_low, c.integers("padding"));
  HR_ASSIGN(window.dilation, c.integers("dilation"));
  window.pad_high = window.pad_low;
  return window;
}

Emitted convolution(OpCall& c) {
  HR_ASSIGN(Window window, read_window(c));
  HR_ASSIGN(window.output_padding, c.integers("output_padding"));
  window.transposed = c.flag("transposed");
  return convolve(c, std::move(window));
}

Emitted conv(OpCall& c) {
  HR_ASSIGN(Window window, read_window(c));
  return convolve(c, std::move(window));
}

Emitted conv_transpose(OpCall& c) {
  HR_ASSIGN(Window window, read_window(c));
  HR_ASSIGN(window.output_padding, c.integers("output_padding"));
  window.transposed = true;
  return convolve(c, std::move(window));
}

// padding = "valid" or "same"; the odd cell of "same" goes to the end.
Emitted conv_named_padding(OpCall& c) {
  Window window;
  HR_ASSIGN(window.stride, c.integers("stride"));
  HR_ASSIGN(window.dilation, c.integers("dilation"));
  const std::string padding = c.text("padding");
  if (padding == "valid") return convolve(c, std::move(window));
  if (padding != "same") return unsupported("padding = '{}' is not supported; 'same', 'valid' are", padding);
  HR_ASSIGN(Value * w, c.tensor("weight"));
  spread(window.dilation, static_cast<size_t>(w->rank() - 2), 1);
  for (size_t i = 0; i < window.dilation.size(); ++i) {
    const Dim kernel = w->shape()[i + 2];
    if (!kernel.is_constant()) return unsupported("a kernel of varying size is not supported");
    const int64_t total = window.dilation[i] * (kernel.constant() - 1);
    window.pad_low.push_back(total / 2);
    window.pad_high.push_back(total - total / 2);
  }
  return convolve(c, std::move(window));
}

constexpr Overload kRows[] = {
    {"convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, "
     "SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups) -> Tensor",
     convolution},
    {"conv1d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], SymInt[1] padding=[0], "
     "SymInt[1] dilation=[1], SymInt groups=1) -> Tensor",
     conv},
    {"conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], "
     "SymInt[2] padding=[0, 0], SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor",
     conv},
    {"conv3d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], "
     "SymInt[3] padding=[0, 0, 0], SymInt[3] dilation=[1, 1, 1], SymInt groups=1) -> Tensor",
     conv},
    {"conv1d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], "
     "str padding=\"valid\", SymInt[1] dilation=[1], SymInt groups=1) -> Tensor",
     conv_named_padding},
    {"conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], "
     "str padding=\"valid\", SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor",
     conv_named_padding},
    {"conv3d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], "
     "str padding=\"valid\", SymInt[3] dilation=[1, 1, 1], SymInt groups=1) -> Tensor",
     conv_named_padding},
    {"conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], "
     "SymInt[1] padding=[0], SymInt[1] output_padding=[0], SymInt groups=1, SymInt[1] dilation=[1]) -> "
     "Tensor",
     conv_transpose},
    {"conv_transpose2d.input(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], "
     "SymInt[2] padding=[0, 0], SymInt[2] output_padding=[0, 0], SymInt groups=1, "
     "SymInt[2] dilation=[1, 1]) -> Tensor",
     conv_transpose},
    {"conv_transpose3d.input(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], "
     "SymInt[3] padding=[0, 0, 0], SymInt[3] output_padding=[0, 0, 0], SymInt groups=1, "
     "SymInt[3] dilation=[1, 1, 1]) -> Tensor",
     conv_transpose},
};

}  // namespace

std::span<const Overload> conv_overloads() { return kRows; }

}  // namespace headrace::frontend
