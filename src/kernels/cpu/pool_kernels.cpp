// Pools: each place of the result is computed for a run of channels at once.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/cpu/for_lane.h"
#include "kernels/cpu/loop_nest.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {

namespace {

enum class PoolKind { kMax, kAverage, kAdaptive };
constexpr int64_t kRun = 256;     // elements computed at once
constexpr int64_t kSumTaps = 64;  // taps that are summed in T's own precision
constexpr size_t kMostDims = 3;

struct Window {
  Sizes kernel, stride, dilation, low, high;
  bool count_padding = false;
  int64_t divisor = 0;
};

// One spatial dim of one place: which cells of the input it reads, and how many it divides by.
struct Span {
  int64_t first = 0, taps = 0, step = 1, counted = 0;
};

template <class T>
class PoolKernel : public StepKernel {
 public:
  PoolKernel(PoolKind kind, Window window, StepTensor x, StepTensor y, int threads)
      : kind_(kind), window_(std::move(window)), x_(std::move(x)), y_(std::move(y)) {
    const double taps = kind == PoolKind::kAdaptive
                            ? static_cast<double>(x_.elements()) / static_cast<double>(y_.elements())
                            : static_cast<double>(element_count(window_.kernel));
    threads_ = worthwhile_threads(threads, static_cast<double>(y_.elements()) * (taps + 1) * 0.2);
  }

  Status run(const Addresses& at) const override {
    const int64_t rows = y_.elements() / y_.shape[1];
    parallel_ranges(threads_, rows, [&](int, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) run_row(at, row);
    });
    return {};
  }

 private:
  Span span(size_t d, int64_t place) const {
    const int64_t size = x_.shape[d + 2];
    if (kind_ == PoolKind::kAdaptive) {
      const int64_t out = y_.shape[d + 2];
      const int64_t begin = place * size / out, end = ((place + 1) * size + out - 1) / out;
      return {begin, end - begin, 1, end - begin};
    }
    const int64_t step = window_.dilation[d], start = place * window_.stride[d] - window_.low[d];
    const int64_t skipped = start < 0 ? (-start + step - 1) / step : 0;
    const int64_t end = start < size ? std::min(window_.kernel[d], (size - 1 - start) / step + 1) : 0;
    Span span = {start + skipped * step, std::max<int64_t>(end - skipped, 0), step, 0};
    span.counted = span.taps;
    if (window_.count_padding)
      span.counted =
          std::max<int64_t>(0, std::min(start + window_.kernel[d], size + window_.high[d]) - start);
    return span;
  }

  // One place, for all channels.
  void run_row(const Addresses& at, int64_t row) const {
    const size_t dims = y_.shape.size() - 2;
    Span spans[kMostDims];
    int64_t from = 0, to = 0, divisor = 1, taps = 1;
    for (size_t d = dims; d-- > 0;) {
      const int64_t place = row % y_.shape[d + 2];
      row /= y_.shape[d + 2];
      spans[d] = span(d, place);
      from += spans[d].first * x_.strides[d + 2];
      to += place * y_.strides[d + 2];
      divisor *= spans[d].counted;
      taps *= spans[d].taps;
    }
    from += row * x_.strides[0];
    to += row * y_.strides[0];
    if (window_.divisor) divisor = window_.divisor;
    const int64_t channels = y_.shape[1];
    for (int64_t c = 0; c < channels; c += kRun) {
      pool_run(x_.at(at) + (from + c * x_.strides[1]) * dtype_size(x_.dtype),
               y_.at(at) + (to + c * y_.strides[1]) * dtype_size(y_.dtype), std::min(kRun, channels - c),
               spans, taps, static_cast<T>(divisor));
    }
  }

  void pool_run(const std::byte* from, std::byte* to, int64_t n, const Span* spans, int64_t taps,
                T divisor) const {
    alignas(64) T acc[kRun], values[kRun];
    const bool direct = is_lane(x_.dtype) && x_.strides[1] == 1;
    const TileLoad load = tile_functions().load[static_cast<size_t>(x_.dtype)];
    std::fill_n(acc, n, kind_ == PoolKind::kMax ? least() : T(0));
    const size_t dims = y_.shape.size() - 2;
    const bool long_sum = kind_ != PoolKind::kMax && taps > kSumTaps;
    double total[kRun];
    if (long_sum) std::fill_n(total, n, 0.0);
    for (int64_t tap = 0; tap < taps; ++tap) {
      if (long_sum && tap % kSumTaps == 0) move_into(acc, total, n);
      int64_t offset = 0;
      for (size_t d = dims, left = static_cast<size_t>(tap); d-- > 0;
           left /= static_cast<size_t>(spans[d].taps))
        offset += static_cast<int64_t>(left % static_cast<size_t>(spans[d].taps)) * spans[d].step *
                  x_.strides[d + 2];
      const std::byte* x = from + offset * dtype_size(x_.dtype);
      const T* row = values;
      if (direct) {
        row = reinterpret_cast<const T*>(x);
      } else {
        load(x, x_.strides[1], values, n);
      }
      if (kind_ == PoolKind::kMax) {
        for (int64_t i = 0; i < n; ++i) acc[i] = row[i] > acc[i] || row[i] != row[i] ? row[i] : acc[i];
      } else {
        for (int64_t i = 0; i < n; ++i) acc[i] += row[i];
      }
    }
    if (long_sum) {
      move_into(acc, total, n);
      for (int64_t i = 0; i < n; ++i) acc[i] = static_cast<T>(total[i] / static_cast<double>(divisor));
    } else if (kind_ != PoolKind::kMax) {
      for (int64_t i = 0; i < n; ++i) acc[i] /= divisor;
    }
    tile_functions().store[static_cast<size_t>(y_.dtype)](acc, to, y_.strides[1], n);
  }

  // The least number of x's dtype.
  T least() const {
    if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
    if (x_.dtype == DType::kU8) return T(0);
    return static_cast<T>(std::numeric_limits<int64_t>::min() >> (64 - 8 * dtype_size(x_.dtype)));
  }

  static void move_into(T* acc, double* total, int64_t n) {
    for (int64_t i = 0; i < n; ++i) total[i] += static_cast<double>(acc[i]);
    std::fill_n(acc, n, T(0));
  }

  PoolKind kind_;
  Window window_;
  StepTensor x_, y_;  // dims as [N, C, spatial..]
  int threads_ = 1;
};

// The channels of a channels-last tensor, moved to their place after N.
StepTensor channels_first(StepTensor tensor, bool channels_last) {
  if (!channels_last) return tensor;
  std::rotate(tensor.shape.begin() + 1, tensor.shape.end() - 1, tensor.shape.end());
  std::rotate(tensor.strides.begin() + 1, tensor.strides.end() - 1, tensor.strides.end());
  return tensor;
}

// `least` for every dim at least.
Result<Sizes> spatial(const StepShapes& step, std::string_view name, size_t dims, int64_t fallback,
                      int64_t least) {
  const AttributeMap& attributes = step.step->attributes;
  Sizes values = attributes.contains(name) ? attributes.integers(name) : Sizes(dims, fallback);
  bool fits = values.size() == dims;
  for (const int64_t value : values) fits = fits && value >= least && value < (int64_t{1} << 30);
  if (!fits) return malformed(step, "its {} are {}", name, to_text(values));
  return values;
}

Result<Window> read_window(const StepShapes& step, const Sizes& x, const Sizes& y) {
  const size_t dims = x.size() - 2;
  const AttributeMap& attributes = step.step->attributes;
  Window window;
  HR_ASSIGN(window.kernel, spatial(step, "kernel", dims, 0, 1));
  HR_ASSIGN(window.stride, spatial(step, "stride", dims, 1, 1));
  HR_ASSIGN(window.dilation, spatial(step, "dilation", dims, 1, 1));
  HR_ASSIGN(window.low, spatial(step, "pad_low", dims, 0, 0));
  HR_ASSIGN(window.high, spatial(step, "pad_high", dims, 0, 0));
  window.count_padding = attributes.flag("count_padding");
  window.divisor = attributes.integer("divisor");
  for (size_t d = 0; d < dims; ++d) {
    const int64_t reach = (window.kernel[d] - 1) * window.dilation[d] + 1;
    const int64_t room = x[d + 2] + window.low[d] + window.high[d] - reach;
    if (room < 0 || y[d + 2] != room / window.stride[d] + 1)
      return malformed(step, "windows of {} over sizes {} do not give {}", to_text(window.kernel), to_text(x),
                       to_text(y));
  }
  return window;
}

template <PoolKind kind>
Result<std::unique_ptr<StepKernel>> make_pool(const StepShapes& step) {
  HR_TRY(check_form(step, 1, 1, 1));
  const bool last = step.step->attributes.flag("channels_last");
  const size_t rank = step.inputs[0]->shape.size();
  if (rank < 3 || rank > 2 + kMostDims || step.outputs[0].shape.size() != rank)
    return malformed(step, "its input is of {} dims and its result of {}", rank,
                     step.outputs[0].shape.size());
  StepTensor x = channels_first(*step.inputs[0], last), y = channels_first(step.outputs[0], last);
  const bool computed = is_float(x.dtype) || (kind == PoolKind::kMax && x.dtype != DType::kBool);
  if (!computed || x.dtype != y.dtype || x.shape[0] != y.shape[0] || x.shape[1] != y.shape[1])
    return malformed(step, "{} of sizes {} are not pooled to {} of sizes {}", dtype_name(x.dtype),
                     to_text(x.shape), dtype_name(y.dtype), to_text(y.shape));
  Window window;
  if (kind != PoolKind::kAdaptive) {
    HR_ASSIGN(window, read_window(step, x.shape, y.shape));
  }
  if (y.elements() > 0 && kind == PoolKind::kAdaptive && x.elements() == 0)
    return malformed(step, "there is nothing to pool in sizes {}", to_text(x.shape));
  return make_for_lane<PoolKernel>(lane_of(x.dtype), kind, window, x, y, step.threads);
}

constexpr KernelRow kRows[] = {{"max_pool", make_pool<PoolKind::kMax>},
                               {"avg_pool", make_pool<PoolKind::kAverage>},
                               {"adaptive_avg_pool", make_pool<PoolKind::kAdaptive>}};

}  // namespace

std::span<const KernelRow> pool_kernels() { return kRows; }

}  // namespace headrace::cpu
