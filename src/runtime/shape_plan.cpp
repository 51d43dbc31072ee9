#include "runtime/shape_plan.h"

#include <algorithm>
#include <utility>

#include <headrace/tensor.h>
#include "core/error.h"
#include "runtime/arena.h"

namespace headrace::runtime {
namespace {

struct ArenaPart {
  std::vector<ArenaItem> items;
  std::vector<BufferIndex> buffers;  // of the first items; the rest are workspaces
};

Result<std::vector<Bytes>> evaluate_sizes(const Plan& plan, const DimBindings& dims) {
  std::vector<Bytes> sizes;
  sizes.reserve(plan.buffers.size());
  for (const Buffer& buffer : plan.buffers) {
    HR_ASSIGN(const int64_t size, buffer.size.evaluate(dims));
    if (size < 0) return corrupt("a buffer has {} bytes ({})", size, buffer.size.text());
    sizes.push_back({size});
  }
  return sizes;
}

ArenaPart arena_items(const Plan& plan, const std::vector<Bytes>& sizes) {
  std::vector<bool> is_output(plan.buffers.size());
  for (const OutputSpec& output : plan.outputs) {
    if (output.kind != OutputKind::kTensor || output.tensor == kNone) continue;
    const BufferIndex buffer = plan.tensors[static_cast<size_t>(output.tensor)].buffer;
    if (buffer != kNone) is_output[static_cast<size_t>(buffer)] = true;
  }
  const auto end = static_cast<StepIndex>(plan.steps.size());
  ArenaPart part;
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const Buffer& buffer = plan.buffers[i];
    if (buffer.kind != BufferKind::kArena) continue;
    // An output is copied from here after the last step.
    part.items.push_back({sizes[i], std::max(0, buffer.first_step), is_output[i] ? end : buffer.last_step});
    part.buffers.push_back(static_cast<BufferIndex>(i));
  }
  return part;
}

// The last element of a window, in elements from the buffer's start; -1 where the window is empty.
Result<int64_t> window_end(const Sizes& shape, const Sizes& strides, int64_t offset) {
  int64_t last = offset;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return int64_t{-1};
    int64_t step;
    if (strides[i] < 0 || __builtin_mul_overflow(shape[i] - 1, strides[i], &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return corrupt("a tensor of shape {} and strides {} leaves its buffer", to_text(shape),
                     to_text(strides));
    }
  }
  return last;
}

Result<ShapePlan::Output> plan_output(const Plan& plan, size_t index, const ShapePlan& shape) {
  const OutputSpec& spec = plan.outputs[index];
  ShapePlan::Output output;
  if (spec.kind == OutputKind::kNumber) {
    HR_ASSIGN(output.number, spec.number.evaluate(shape.dims));
    output.size = {static_cast<int64_t>(sizeof(int64_t))};
  }
  if (spec.kind != OutputKind::kTensor) return output;
  const PlanTensor& tensor = plan.tensors[static_cast<size_t>(spec.tensor)];
  const Buffer& buffer = plan.buffers[static_cast<size_t>(tensor.buffer)];
  const int64_t element = dtype_size(spec.dtype);
  HR_ASSIGN(output.shape, evaluate(spec.shape, shape.dims));
  HR_ASSIGN(output.strides, evaluate(tensor.strides, shape.dims));
  HR_ASSIGN(const int64_t offset, tensor.offset.evaluate(shape.dims));
  output.size = {element_count(output.shape) * element};
  output.buffer = tensor.buffer;
  output.offset = {offset * element};
  HR_ASSIGN(const int64_t last, window_end(output.shape, output.strides, offset));
  const Bytes room = shape.buffer_sizes[static_cast<size_t>(tensor.buffer)];
  if (offset < 0 || last >= room.count / element) {
    return corrupt("output '{}' {} leaves its buffer of {} bytes", spec.name, to_text(output.shape),
                   room.count);
  }
  const Tensor window = Tensor::borrow(nullptr, spec.dtype, output.shape, output.strides);
  output.in_place = buffer.kind == BufferKind::kOutput && buffer.index == static_cast<int32_t>(index) &&
                    offset == 0 && window.is_row_major() && room <= output.size;
  return output;
}

}  // namespace

Result<Bytes> arena_without_workspace(const Plan& plan, const DimBindings& dims) {
  HR_ASSIGN(const std::vector<Bytes> sizes, evaluate_sizes(plan, dims));
  return lay_out_arena(arena_items(plan, sizes).items).size;
}

Result<std::shared_ptr<const ShapePlan>> make_shape_plan(const Plan& plan, Executable& executable,
                                                         DimBindings dims, int threads) {
  auto shape = std::make_shared<ShapePlan>();
  HR_ASSIGN(shape->prepared, executable.prepare(dims, threads));
  shape->dims = std::move(dims);
  HR_ASSIGN(shape->buffer_sizes, evaluate_sizes(plan, shape->dims));
  ArenaPart part = arena_items(plan, shape->buffer_sizes);
  for (size_t step = 0; step < plan.steps.size(); ++step) {
    const auto index = static_cast<StepIndex>(step);
    const Bytes workspace = shape->prepared->workspace(index);
    shape->workspace = std::max(shape->workspace, workspace);
    part.items.push_back({workspace, index, index});
  }
  const ArenaLayout layout = lay_out_arena(part.items);
  shape->arena = layout.size;
  shape->arena_offsets.resize(plan.buffers.size());
  for (size_t i = 0; i < part.buffers.size(); ++i) {
    shape->arena_offsets[static_cast<size_t>(part.buffers[i])] = layout.offsets[i];
  }
  shape->workspaces.assign(layout.offsets.begin() + static_cast<ptrdiff_t>(part.buffers.size()),
                           layout.offsets.end());
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    HR_ASSIGN(ShapePlan::Output output, plan_output(plan, i, *shape));
    shape->outputs.push_back(std::move(output));
  }
  for (const State& state : plan.states) {
    HR_ASSIGN(const Sizes sizes, evaluate(state.shape, shape->dims));
    shape->states.push_back({element_count(sizes) * dtype_size(state.dtype)});
  }
  return std::shared_ptr<const ShapePlan>(std::move(shape));
}

Bytes arena_with_places(const Plan& plan, const ShapePlan& shape) {
  const auto aligned = [](Bytes size) -> Bytes {
    const int64_t align = kArenaAlignment.count;
    return {(size.count + align - 1) / align * align};
  };
  Bytes sum = aligned(shape.arena);
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const BufferKind kind = plan.buffers[i].kind;
    if (kind == BufferKind::kInput || kind == BufferKind::kOutput) sum += aligned(shape.buffer_sizes[i]);
  }
  return sum;
}

}  // namespace headrace::runtime
