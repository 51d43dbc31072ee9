// copy, pad, iota, fill and dim_value: elements moved and made.
#include <cstring>

#include "kernels/cpu/copy_loops.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {
namespace {

class CopyKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& step) {
    HR_TRY(check_form(step, 1, 1, 1));
    const StepTensor &from = *step.inputs[0], &to = step.outputs[0];
    if (from.dtype != to.dtype)
      return malformed(step, "a copy of {} to {}", dtype_name(from.dtype), dtype_name(to.dtype));
    HR_ASSIGN(const Sizes strides, broadcast_strides(step, from, to.shape));
    auto kernel = std::make_unique<CopyKernel>();
    kernel->from_ = from;
    kernel->to_ = to;
    kernel->loop_ = CopyLoop(dtype_size(to.dtype), to.shape, to.strides, strides, step.threads);
    return std::unique_ptr<StepKernel>(std::move(kernel));
  }
  Status run(const Addresses& at) const override {
    loop_.run(to_.at(at), from_.at(at));
    return {};
  }

 private:
  StepTensor from_, to_;
  CopyLoop loop_;
};

// A number as an element in memory.
struct Element {
  alignas(8) std::byte bytes[8] = {};
  static Element of(double value, DType dtype) {
    const TileFunctions& tiles = tile_functions();
    alignas(8) std::byte tile[8];
    const void* const in[] = {&value};
    Element element;
    tiles.cast[static_cast<size_t>(Lane::kDouble)][static_cast<size_t>(lane_of(dtype))](in, tile, 1);
    tiles.store[static_cast<size_t>(dtype)](tile, element.bytes, 1, 1);
    return element;
  }
};

class PadKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& step) {
    HR_TRY(check_form(step, 1, 1, 1));
    const StepTensor &from = *step.inputs[0], &to = step.outputs[0];
    const std::vector<int64_t> low = step.step->attributes.integers("low");
    const std::vector<int64_t> high = step.step->attributes.integers("high");
    const size_t rank = from.shape.size();
    bool fits =
        from.dtype == to.dtype && to.shape.size() == rank && low.size() == rank && high.size() == rank;
    int64_t start = 0;
    for (size_t d = 0; fits && d < rank; ++d) {
      fits = low[d] >= 0 && high[d] >= 0 && low[d] <= to.shape[d] && high[d] <= to.shape[d] &&
             from.shape[d] + low[d] + high[d] == to.shape[d];
      start += fits ? low[d] * to.strides[d] : 0;
    }
    if (!fits)
      return malformed(step, "sizes {} padded by {} and {} to {}", sizes_text(from.shape), sizes_text(low),
                       sizes_text(high), sizes_text(to.shape));
    auto kernel = std::make_unique<PadKernel>();
    kernel->from_ = from;
    kernel->to_ = to;
    kernel->start_ = start * dtype_size(to.dtype);
    kernel->value_ = Element::of(step.step->attributes.number("value"), to.dtype);
    kernel->fill_ = FillLoop(dtype_size(to.dtype), to.shape, to.strides, step.threads);
    kernel->copy_ = CopyLoop(dtype_size(to.dtype), from.shape, to.strides, from.strides, step.threads);
    return std::unique_ptr<StepKernel>(std::move(kernel));
  }
  Status run(const Addresses& at) const override {
    fill_.run(to_.at(at), value_.bytes);
    copy_.run(to_.at(at) + start_, from_.at(at));
    return {};
  }

 private:
  StepTensor from_, to_;
  int64_t start_ = 0;  // bytes
  Element value_;
  FillLoop fill_;
  CopyLoop copy_;
};

class FillKernel : public StepKernel {
 public:
  FillKernel(const StepShapes& step, Element value)
      : to_(step.outputs[0]),
        value_(value),
        fill_(dtype_size(to_.dtype), to_.shape, to_.strides, step.threads) {}
  Status run(const Addresses& at) const override {
    fill_.run(to_.at(at), value_.bytes);
    return {};
  }

 private:
  StepTensor to_;
  Element value_;
  FillLoop fill_;
};

Result<std::unique_ptr<StepKernel>> make_fill(const StepShapes& step) {
  HR_TRY(check_form(step, 0, 0, 1));
  const double value = step.step->attributes.number("value");
  return std::unique_ptr<StepKernel>(
      std::make_unique<FillKernel>(step, Element::of(value, step.outputs[0].dtype)));
}

// The value of an attribute that is a Dim.
Result<int64_t> dim_attribute(const StepShapes& step, std::string_view name) {
  const Attribute* found = step.step->attributes.find(name);
  const Dim* dim = found == nullptr ? nullptr : std::get_if<Dim>(found);
  if (dim == nullptr) return malformed(step, "it has no dim '{}'", name);
  return dim->evaluate(step.dims);
}

Result<std::unique_ptr<StepKernel>> make_dim_value(const StepShapes& step) {
  HR_TRY(check_form(step, 0, 0, 1));
  if (step.outputs[0].dtype != DType::kI64 || step.outputs[0].elements() != 1)
    return malformed(step, "its output is {} of sizes {}; one i64 is due", dtype_name(step.outputs[0].dtype),
                     sizes_text(step.outputs[0].shape));
  HR_ASSIGN(const int64_t value, dim_attribute(step, "value"));
  Element element;
  std::memcpy(element.bytes, &value, sizeof(value));
  return std::unique_ptr<StepKernel>(std::make_unique<FillKernel>(step, element));
}

class IotaKernel : public StepKernel {
 public:
  IotaKernel(const StepTensor& to, int64_t start, int64_t step) : to_(to), start_(start), step_(step) {}
  Status run(const Addresses& at) const override {
    auto* y = reinterpret_cast<int64_t*>(to_.at(at));
    auto value = static_cast<uint64_t>(start_);  // wraps, whatever the file says
    for (int64_t i = 0; i < to_.shape[0]; ++i, value += static_cast<uint64_t>(step_))
      y[i * to_.strides[0]] = static_cast<int64_t>(value);
    return {};
  }

 private:
  StepTensor to_;
  int64_t start_, step_;
};

Result<std::unique_ptr<StepKernel>> make_iota(const StepShapes& step) {
  HR_TRY(check_form(step, 0, 0, 1));
  const StepTensor& to = step.outputs[0];
  if (to.dtype != DType::kI64 || to.shape.size() != 1)
    return malformed(step, "its output is {} of sizes {}; a row of i64 is due", dtype_name(to.dtype),
                     sizes_text(to.shape));
  HR_ASSIGN(const int64_t start, dim_attribute(step, "start"));
  return std::unique_ptr<StepKernel>(
      std::make_unique<IotaKernel>(to, start, step.step->attributes.integer("step", 1)));
}

constexpr KernelRow kRows[] = {{"copy", CopyKernel::make},
                               {"pad", PadKernel::make},
                               {"iota", make_iota},
                               {"fill", make_fill},
                               {"dim_value", make_dim_value}};

}  // namespace

std::span<const KernelRow> move_kernels() { return kRows; }

}  // namespace headrace::cpu
