// The run of a context: from checked inputs to delivered outputs. Nothing here allocates once a shape, the
// arena and the scratch are there.
#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "runtime/arena.h"
#include "runtime/context_impl.h"
#include "runtime/strided_copy.h"

namespace headrace::runtime {
namespace {

struct Extent {
  const std::byte* begin;
  const std::byte* end;
};

Extent extent(const Tensor& tensor) {
  int64_t low = 0, high = 0;
  for (size_t i = 0; i < tensor.shape().size(); ++i) {
    if (tensor.shape()[i] == 0) return {nullptr, nullptr};
    const int64_t reach = (tensor.shape()[i] - 1) * tensor.strides()[i];
    (reach < 0 ? low : high) += reach;
  }
  const int64_t element = dtype_size(tensor.dtype());
  return {tensor.data() + low * element, tensor.data() + (high + 1) * element};
}

bool overlap(const Tensor& a, const Tensor& b) {
  if (!a.data() || !b.data()) return false;
  const Extent x = extent(a), y = extent(b);
  return x.begin < y.end && y.begin < x.end;
}

// Kernels take dense memory that is aligned for its elements.
bool usable_in_place(const Tensor& tensor) {
  const auto address = reinterpret_cast<uintptr_t>(tensor.data());
  return tensor.is_row_major() && address % static_cast<uintptr_t>(dtype_size(tensor.dtype())) == 0;
}

int64_t aligned(int64_t size) {
  return (size + kArenaAlignment.count - 1) / kArenaAlignment.count * kArenaAlignment.count;
}

// Where no byte is needed but an address may be looked at.
alignas(64) std::byte kNothing[64];

}  // namespace

// Lists what cannot be used where it is; returns the arena that this run needs.
Bytes ContextImpl::stage(const ShapePlan& shape, std::span<const Tensor> inputs,
                         std::span<const Tensor> outputs) {
  staged_.clear();
  int64_t end = aligned(shape.arena.count);
  const auto add = [&](size_t index, bool is_output, Bytes size) {
    const BufferIndex buffer = is_output ? output_buffers_[index] : plan_.inputs[index].buffer;
    staged_.push_back({index, is_output, {end}, buffer});
    end += aligned(size.count);
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (plan_.inputs[i].kind != InputKind::kTensor || plan_.inputs[i].buffer == kNone) continue;
    if (queued_run_ || !usable_in_place(inputs[i])) add(i, false, inputs[i].size());
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (output_buffers_[i] == kNone) continue;
    const bool in_place = !queued_run_ && shape.outputs[i].in_place && usable_in_place(outputs[i]) &&
                          std::none_of(inputs.begin(), inputs.end(),
                                       [&](const Tensor& input) { return overlap(input, outputs[i]); });
    if (!in_place) add(i, true, shape.buffer_sizes[static_cast<size_t>(output_buffers_[i])]);
  }
  return {end};
}

void ContextImpl::place(const ShapePlan& shape, std::span<const Tensor> inputs,
                        std::span<const Tensor> outputs) {
  for (size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = plan_.buffers[i];
    if (buffer.kind == BufferKind::kArena) buffers_[i] = arena_data_ + shape.arena_offsets[i].count;
    if (buffer.kind == BufferKind::kState) buffers_[i] = states_[static_cast<size_t>(buffer.index)].data();
  }
  const auto or_nothing = [](std::byte* data) { return data ? data : kNothing; };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const BufferIndex buffer = plan_.inputs[i].kind == InputKind::kTensor ? plan_.inputs[i].buffer : kNone;
    if (buffer != kNone) buffers_[static_cast<size_t>(buffer)] = or_nothing(inputs[i].data());
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const BufferIndex buffer = output_buffers_[i];
    if (buffer != kNone) buffers_[static_cast<size_t>(buffer)] = or_nothing(outputs[i].data());
  }
  for (const Staged& staged : staged_) {
    std::byte* at = arena_data_ + staged.offset.count;
    buffers_[static_cast<size_t>(staged.buffer)] = at;
    if (!staged.is_output && !queued_run_) copy_to_dense(inputs[staged.index], at);
  }
}

Status ContextImpl::acquire_weights(StepIndex step) {
  if (streamer_.idle()) return {};
  auto loads = streamer_.acquire(step);
  if (!loads.ok()) return loads.status();
  for (const StreamLoad& load : *loads) {
    for (const BufferIndex buffer : group_buffers_[static_cast<size_t>(load.group)]) {
      const auto weight = static_cast<size_t>(plan_.buffers[static_cast<size_t>(buffer)].index);
      buffers_[static_cast<size_t>(buffer)] = streamer_.data(load) + plan_.weights[weight].offset.count;
    }
  }
  return {};
}

int64_t ContextImpl::rows_wait_ns() const {
  int64_t sum = 0;
  for (const FileRows& source : file_rows_) sum += source.statistics().wait_ns;
  return sum;
}

Status ContextImpl::run_step(const ShapePlan& shape, StepIndex step) {
  HR_TRY(acquire_weights(step));
  const auto index = static_cast<size_t>(step);
  const int64_t waited = rows_wait_ns();
  const int64_t begin = engine_->device().now_ns();
  const Addresses at{buffers_, rows_, arena_data_ + shape.workspaces[index].count};
  if (Status status = shape.prepared->enqueue(step, at, *queue_); !status.ok()) {
    const Step& what = plan_.steps[index];
    return status.with_context(fmt::format("{} '{}'", what.kernel, what.label));
  }
  const int64_t end = engine_->device().now_ns();
  step_times_.note(step, end - begin - (rows_wait_ns() - waited));
  if (trace_) trace_->add(TraceTrack::kCompute, plan_.steps[index].label, begin, end);
  return streamer_.release(step);
}

Status ContextImpl::run_steps(const ShapePlan& shape) {
  for (FileRows& source : file_rows_) source.begin(engine_->device(), trace_, streamer_.read_times());
  HR_TRY(streamer_.begin(trace_));
  const auto steps = static_cast<StepIndex>(plan_.steps.size());
  for (StepIndex step = 0; step < steps; ++step) {
    if (progress_ && !progress_({"run", step, steps})) return unavailable("cancelled");
    HR_TRY(run_step(shape, step));
  }
  if (progress_ && !progress_({"run", steps, steps})) return unavailable("cancelled");
  HR_TRY(acquire_weights(steps));  // those that are outputs
  return queue_->synchronize();
}

void ContextImpl::deliver(const ShapePlan& shape, std::span<const Tensor> outputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputSpec& spec = plan_.outputs[i];
    const ShapePlan::Output& output = shape.outputs[i];
    if (spec.kind == OutputKind::kNumber) *outputs[i].as<int64_t>() = output.number;
    if (spec.kind != OutputKind::kTensor || output.size == Bytes{}) continue;
    const std::byte* from = buffers_[static_cast<size_t>(output.buffer)];
    if (output.in_place && from == outputs[i].data()) continue;
    strided_copy(outputs[i].data(), outputs[i].strides(), from + output.offset.count, output.strides,
                 output.shape, dtype_size(spec.dtype));
  }
}

void ContextImpl::note_run(int64_t begin_ns) {
  Streamer::Statistics statistics = streamer_.statistics();
  if (queued_run_) statistics.streamed = queued_run_->streamed();
  for (const FileRows& source : file_rows_) {  // kernels wait for rows
    statistics.streamed += source.statistics().read;
    statistics.wait_ns += source.statistics().wait_ns;
  }
  const int64_t end_ns = engine_->device().now_ns();
  std::lock_guard lock(report_mutex_);
  last_ = statistics;
  last_run_ns_ = end_ns - begin_ns;
}

// Once the times are settled and the link is known, and now and then from there on.
void ContextImpl::tell_pace() {
  constexpr int64_t kRunsBetween = 16;
  if (link_rate().get() <= 0 || !step_times_.settled()) return;
  const int64_t runs = step_times_.runs();
  if (told_at_ > 0 && runs < told_at_ + kRunsBetween) return;
  if (engine_->resident() == engine_->streamable()) return;
  told_at_ = runs;
  engine_->note_pace();
}

Status ContextImpl::execute(const ShapePlan& shape, std::span<const Tensor> inputs,
                            std::span<const Tensor> outputs) {
  const bool moved = queued_run_ ? queued_run_->has_moved() : streamer_.has_moved();
  if (version_ != engine_->version() || moved) HR_TRY(follow_residency());
  const int64_t begin = engine_->device().now_ns();
  place(shape, inputs, outputs);
  if (queued_run_) {
    // Pinned pages stay when the file is cut, and change when it is written to: copies would not tell.
    if (engine_->source()) HR_TRY(engine_->identity().check(engine_->file()));
    Status status = execute_queued(shape, inputs, outputs);
    if (status.ok() && told_at_ == 0) tell_pace();  // measured once
    note_run(begin);
    return status;
  }
  Status status = run_steps(shape);
  if (status.ok()) {
    deliver(shape, outputs);
    step_times_.note_run();
    tell_pace();
  }
  streamer_.end(status.ok() ? Streamer::End::kKeep : Streamer::End::kDrop);
  note_run(begin);
  return status;
}

Status ContextImpl::run_marked(const ShapePlan& shape, std::span<const Tensor> inputs,
                               std::span<const Tensor> outputs) {
  HR_TRY(check_outputs(shape, outputs));
  HR_TRY(make_states(shape));
  HR_TRY(make_arena(shape, stage(shape, inputs, outputs)));
  HR_TRY(charge_driver(shape));
  if (engine_->pace_is_due()) engine_->follow_pace(*this);
  const RunGate::Run run(engine_->gate());
  return execute(shape, inputs, outputs);
}

}  // namespace headrace::runtime
