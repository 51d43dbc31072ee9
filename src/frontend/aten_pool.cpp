// Pooling.
#include "frontend/overload.h"

namespace headrace::frontend {
namespace {

using Ints = std::vector<int64_t>;

struct Window {
  Value* x = nullptr;  // [N, C, spatial..]
  Ints kernel, stride, dilation, padding, pad_high;
  bool ceil_extra = false;  // cells beyond the padding, from ceil_mode
};

// One image without a batch gets one.
Emitted batched(OpCall& c, size_t dims) {
  HR_ASSIGN(Value * x, c.tensor("self"));
  return x->rank() == static_cast<int64_t>(dims) + 1 ? c.unsqueeze(x, 0) : Emitted(x);
}

// Lets the last window of each dim begin where PyTorch lets it, by padding the end.
Status pad_for_ceil(OpCall& c, Window& window) {
  const Shape& wanted = c.shape();
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    const Dim size = window.x->shape()[i + 2];
    const Dim count = wanted[wanted.size() - window.kernel.size() + i];
    if (!size.is_constant() || !count.is_constant()) {
      return unsupported("ceil_mode with a size that varies is not supported");
    }
    const int64_t reach = window.dilation[i] * (window.kernel[i] - 1) + 1;
    const int64_t needed = (count.constant() - 1) * window.stride[i] + reach;
    const int64_t had = size.constant() + 2 * window.padding[i];
    if (needed <= had) continue;
    window.pad_high[i] += needed - had;
    window.ceil_extra = true;
  }
  return {};
}

void spread(Ints& list, size_t dims, const Ints& fallback) {
  if (list.empty()) list = fallback;
  if (list.size() == 1) list.resize(dims, list.front());
}

Result<Window> window_of(OpCall& c, size_t dims, bool dilated) {
  Window window;
  HR_ASSIGN(window.x, batched(c, dims));
  HR_ASSIGN(window.kernel, c.integers("kernel_size"));
  HR_ASSIGN(window.stride, c.integers("stride"));
  HR_ASSIGN(window.padding, c.integers("padding"));
  if (dilated) {
    HR_ASSIGN(window.dilation, c.integers("dilation"));
  }
  spread(window.kernel, dims, {1});
  spread(window.stride, dims, window.kernel);
  spread(window.padding, dims, {0});
  spread(window.dilation, dims, {1});
  window.pad_high = window.padding;
  if (c.flag("ceil_mode")) HR_TRY(pad_for_ceil(c, window));
  return window;
}

template <size_t dims>
Emitted max_pool(OpCall& c) {
  HR_ASSIGN(const Window window, window_of(c, dims, true));
  return c.reshape(c.add("max_pool", {window.x},
                         {{"kernel", window.kernel},
                          {"stride", window.stride},
                          {"dilation", window.dilation},
                          {"pad_low", window.padding},
                          {"pad_high", window.pad_high}}),
                   c.shape());
}

template <size_t dims>
Result<std::vector<Value*>> max_pool_with_indices(OpCall& c) {
  if (c.used(1)) return unsupported("the indices of the maxima are not supported; the maxima are");
  HR_ASSIGN(Value * y, max_pool<dims>(c));
  return std::vector<Value*>{y, nullptr};
}

template <size_t dims>
Emitted avg_pool(OpCall& c) {
  HR_ASSIGN(const Window window, window_of(c, dims, false));
  bool count_padding = c.flag("count_include_pad");
  if (count_padding && window.ceil_extra) {
    // PyTorch counts the padding asked for, never the cells that ceil_mode adds.
    const bool none = window.padding == Ints(dims, 0);
    if (!none) return unsupported("ceil_mode with padding that counts is not supported");
    count_padding = false;
  }
  AttributeMap attributes = {{"kernel", window.kernel},
                             {"stride", window.stride},
                             {"pad_low", window.padding},
                             {"pad_high", window.pad_high},
                             {"count_padding", count_padding}};
  if constexpr (dims > 1) {
    if (c.has("divisor_override")) {
      HR_ASSIGN(const int64_t divisor, c.integer("divisor_override"));
      attributes.set("divisor", divisor);
    }
  }
  return c.reshape(c.add("avg_pool", {window.x}, std::move(attributes)), c.shape());
}

template <size_t dims>
Emitted adaptive_avg_pool(OpCall& c) {
  HR_ASSIGN(Value * x, batched(c, dims));
  HR_ASSIGN(Ints output, c.integers("output_size"));
  spread(output, dims, {1});
  return c.reshape(c.add("adaptive_avg_pool", {x}, {{"output", output}}), c.shape());
}

// Windows of one size, where the sizes divide.
template <size_t dims>
Result<std::vector<Value*>> adaptive_max_pool(OpCall& c) {
  if (c.used(1)) return unsupported("the indices of the maxima are not supported; the maxima are");
  HR_ASSIGN(Value * x, batched(c, dims));
  HR_ASSIGN(Ints output, c.integers("output_size"));
  spread(output, dims, {1});
  Ints kernel;
  for (size_t i = 0; i < dims; ++i) {
    const Dim size = x->shape()[i + 2];
    if (!size.is_constant() || output[i] <= 0 || size.constant() % output[i] != 0)
      return unsupported("output_size {} of size {} is not supported; divisors of it are", output[i],
                         size.text());
    kernel.push_back(size.constant() / output[i]);
  }
  const Emitted pooled = c.add("max_pool", {x},
                               {{"kernel", kernel},
                                {"stride", kernel},
                                {"dilation", Ints(dims, 1)},
                                {"pad_low", Ints(dims, 0)},
                                {"pad_high", Ints(dims, 0)}});
  HR_ASSIGN(Value * y, c.reshape(pooled, c.shape()));
  return std::vector<Value*>{y, nullptr};
}

constexpr Overload kRows[] = {
    {"max_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], "
     "int[1] dilation=[1], bool ceil_mode=False) -> Tensor",
     max_pool<1>},
    {"max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, "
     "bool ceil_mode=False) -> Tensor",
     max_pool<2>},
    {"max_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, "
     "bool ceil_mode=False) -> Tensor",
     max_pool<3>},
    {"max_pool1d_with_indices(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], "
     "int[1] dilation=[1], bool ceil_mode=False) -> (Tensor, Tensor)",
     max_pool_with_indices<1>},
    {"max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, "
     "int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
     max_pool_with_indices<2>},
    {"max_pool3d_with_indices(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, "
     "int[3] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
     max_pool_with_indices<3>},
    {"avg_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], "
     "bool ceil_mode=False, bool count_include_pad=True) -> Tensor",
     avg_pool<1>},
    {"avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, "
     "bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
     avg_pool<2>},
    {"avg_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, "
     "bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
     avg_pool<3>},
    {"adaptive_avg_pool1d(Tensor self, int[1] output_size) -> Tensor", adaptive_avg_pool<1>},
    {"adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor", adaptive_avg_pool<2>},
    {"adaptive_avg_pool3d(Tensor self, SymInt[3] output_size) -> Tensor", adaptive_avg_pool<3>},
    {"_adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor", adaptive_avg_pool<2>},
    {"_adaptive_avg_pool3d(Tensor self, SymInt[3] output_size) -> Tensor", adaptive_avg_pool<3>},
    {"adaptive_max_pool1d(Tensor self, int[1] output_size) -> (Tensor, Tensor)", adaptive_max_pool<1>},
    {"adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)", adaptive_max_pool<2>},
    {"adaptive_max_pool3d(Tensor self, int[3] output_size) -> (Tensor, Tensor)", adaptive_max_pool<3>},
};

}  // namespace

std::span<const Overload> pool_overloads() { return kRows; }

}  // namespace headrace::frontend
