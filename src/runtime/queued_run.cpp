#include "runtime/queued_run.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "runtime/strided_copy.h"

namespace headrace::runtime {
namespace {

bool is_row_major(const Sizes& shape, const Sizes& strides) {
  return Tensor::borrow(nullptr, DType::kU8, shape, strides).is_row_major();
}

// The bytes from the first to behind the last element of a window.
Bytes extent(const Sizes& shape, const Sizes& strides, int64_t element) {
  int64_t last = 0;
  for (size_t i = 0; i < shape.size(); ++i) last += (shape[i] - 1) * strides[i];
  return {(last + 1) * element};
}

}  // namespace

QueuedRun::~QueuedRun() { (void)settle(); }

Status QueuedRun::configure(StreamSchedule schedule, CopySource* source) {
  HR_TRY(settle());
  source_ = source;
  return streamer_.configure(std::move(schedule), source);
}

void QueuedRun::drop() {
  (void)settle();
  streamer_.drop();
}

Status QueuedRun::prepare_queue() {
  if (!own_) {
    HR_ASSIGN(own_, device_.make_work_queue());
  }
  if (!queue_) queue_ = own_.get();
  return {};
}

Status QueuedRun::set_stream(std::optional<void*> stream) {
  HR_TRY(settle());
  HR_TRY(prepare_queue());
  queue_ = own_.get();
  borrowed_.reset();
  if (!stream) return {};
  HR_ASSIGN(borrowed_, device_.borrow_queue(*stream));
  queue_ = borrowed_.get();
  return {};
}

Status QueuedRun::add(Transfer transfer) {
  const Tensor& tensor = *transfer.tensor;
  if (tensor.size() == Bytes{}) return {};
  transfer.on_device = device_.owns(tensor.data());
  if (transfer.on_device && !tensor.is_row_major()) {
    return invalid_argument("a tensor {} on the device has strides {}; make it contiguous",
                            to_text(tensor.shape()), to_text(tensor.strides()));
  }
  transfers_.push_back(transfer);
  return {};
}

Status QueuedRun::find_inputs(const QueuedWork& work) {
  transfers_.clear();
  for (const Staged& staged : work.staged) {
    if (staged.is_output) continue;
    Transfer transfer = {work.arena + staged.offset.count, &work.inputs[staged.index]};
    transfer.buffer = staged.buffer;
    HR_TRY(add(transfer));
  }
  return {};
}

// After the steps are enqueued: an output may lie in a streamed weight.
Status QueuedRun::find_outputs(const QueuedWork& work) {
  std::erase_if(transfers_, [](const Transfer& transfer) { return transfer.is_output; });
  for (size_t i = 0; i < work.outputs.size(); ++i) {
    const ShapePlan::Output& output = work.shape.outputs[i];
    if (work.plan.outputs[i].kind == OutputKind::kNumber) {
      *work.outputs[i].as<int64_t>() = output.number;
    }
    if (work.plan.outputs[i].kind != OutputKind::kTensor) continue;
    Transfer transfer = {work.buffers[static_cast<size_t>(output.buffer)] + output.offset.count,
                         &work.outputs[i]};
    transfer.is_output = true;
    transfer.is_window = !is_row_major(output.shape, output.strides);
    transfer.output = i;
    if (output.in_place) transfer.buffer = output.buffer;
    HR_TRY(add(transfer));
  }
  return {};
}

Status QueuedRun::copy(const Transfer& transfer) {
  const Tensor& tensor = *transfer.tensor;
  if (transfer.is_output) {
    if (tensor.is_row_major()) return queue_->copy(tensor.data(), transfer.place, tensor.size());
    dense_.resize(static_cast<size_t>(tensor.size().count));
    HR_TRY(queue_->copy(dense_.data(), transfer.place, tensor.size()));
    HR_TRY(queue_->synchronize());
    copy_from_dense(dense_.data(), tensor);
    return {};
  }
  if (tensor.is_row_major()) return queue_->copy(transfer.place, tensor.data(), tensor.size());
  dense_.resize(static_cast<size_t>(tensor.size().count));
  copy_to_dense(tensor, dense_.data());
  HR_TRY(queue_->copy(transfer.place, dense_.data(), tensor.size()));
  return queue_->synchronize();  // before dense_ is used again
}

Status QueuedRun::copy_all(bool outputs, bool on_device_too) {
  for (const Transfer& transfer : transfers_) {
    if (transfer.is_output != outputs || transfer.is_window) continue;
    if (!transfer.on_device || on_device_too) HR_TRY(copy(transfer));
  }
  return {};
}

Status QueuedRun::enqueue_steps(const QueuedWork& work, RunTimer* timer) {
  HR_TRY(streamer_.begin(*queue_, timer ? &timer->copies : nullptr));
  const auto steps = static_cast<StepIndex>(work.plan.steps.size());
  for (StepIndex step = 0; step <= steps; ++step) {  // the last: outputs that are weights
    HR_ASSIGN(const auto loads, streamer_.acquire(step, *queue_));
    for (const StreamLoad& load : loads) {
      for (const BufferIndex buffer : work.group_buffers[static_cast<size_t>(load.group)]) {
        const auto weight = static_cast<size_t>(work.plan.buffers[static_cast<size_t>(buffer)].index);
        work.buffers[static_cast<size_t>(buffer)] =
            streamer_.data(load) + work.plan.weights[weight].offset.count;
      }
    }
    if (step == steps) break;
    HR_TRY(work.before_step(step));
    const auto index = static_cast<size_t>(step);
    const Addresses at{work.buffers, work.rows, work.arena + work.shape.workspaces[index].count};
    if (timer) HR_TRY(timer->steps.begin(step, *queue_));
    if (Status status = work.shape.prepared->enqueue(step, at, *queue_); !status.ok()) {
      return status.with_context(
          fmt::format("{} '{}'", work.plan.steps[index].kernel, work.plan.steps[index].label));
    }
    if (timer) HR_TRY(timer->steps.end(step, *queue_));
    HR_TRY(streamer_.release(step, *queue_));
  }
  return {};
}

Status QueuedRun::run_eagerly(const QueuedWork& work, RunTimer* timer) {
  HR_TRY(copy_all(false, true));
  HR_TRY(enqueue_steps(work, timer));
  HR_TRY(find_outputs(work));
  HR_TRY(copy_all(true, true));
  return streamer_.end(*queue_);
}

// What the next plan of resident weights goes by. It waits for its end: its events are asked for their times.
Status QueuedRun::run_timed(const QueuedWork& work) {
  RunTimer timer{StepTimer(device_), CopyTimer(device_)};
  HR_TRY(run_eagerly(work, &timer));
  HR_TRY(queue_->synchronize());
  HR_TRY(timer.copies.tell(link_rate_));
  return timer.steps.tell(work.times);
}

// The graph for tensors that lie where this run's do.
CapturedGraph& QueuedRun::choose_graph(CapturedRun& captured) const {
  size_t count = 0;
  bool stays = true;
  for (const Transfer& transfer : transfers_) {
    if (!transfer.on_device) continue;
    if (count == captured.addresses.size()) captured.addresses.push_back(nullptr);
    stays &= std::exchange(captured.addresses[count++], transfer.tensor->data()) == transfer.tensor->data();
  }
  stays &= count == captured.addresses.size();
  captured.addresses.resize(count);
  captured.stays = stays ? captured.stays + 1 : 0;
  const bool is_fixed = captured.fixed.graph && captured.fixed.addresses == captured.addresses;
  return count > 0 && (is_fixed || captured.stays >= captured.patience) ? captured.fixed : captured.moving;
}

bool QueuedRun::is_current(const QueuedWork& work, const CapturedGraph& captured,
                           const CapturedRun& run) const {
  if (!captured.graph || captured.placement != placement(work)) return false;
  if (&captured == &run.fixed && captured.addresses != run.addresses) return false;
  if (captured.on_device.size() != transfers_.size()) return false;
  for (size_t i = 0; i < transfers_.size(); ++i) {
    if (captured.on_device[i] != transfers_[i].on_device) return false;
  }
  return true;
}

// Whether steps may work on the caller's tensor itself: it shares no byte with another that is written.
bool QueuedRun::lies_in_place(const Transfer& transfer) const {
  constexpr uintptr_t kAlignment = 16;  // less, and kernels and libraries take slower ways
  const Tensor& tensor = *transfer.tensor;
  if (!transfer.on_device || transfer.buffer == kNone || transfer.is_window) return false;
  if (reinterpret_cast<uintptr_t>(tensor.data()) % kAlignment != 0) return false;
  return std::none_of(transfers_.begin(), transfers_.end(), [&](const Transfer& other) {
    if (&other == &transfer || (!other.is_output && !transfer.is_output)) return false;
    const std::byte *begin = tensor.data(), *theirs = other.tensor->data();
    return theirs < begin + tensor.size().count && begin < theirs + other.tensor->size().count;
  });
}

// What a graph holds: the copies of tensors that lie on the device, and the steps between them.
Status QueuedRun::note_work(const QueuedWork& work, CapturedGraph& captured, bool in_place) {
  const auto note = [&](bool outputs) -> Status {
    for (const Transfer& transfer : transfers_) {
      if (transfer.is_output != outputs || !transfer.on_device || transfer.is_window) continue;
      if (in_place && lies_in_place(transfer)) continue;
      std::byte* const to = outputs ? transfer.tensor->data() : transfer.place;
      std::byte* const from = outputs ? transfer.place : transfer.tensor->data();
      HR_ASSIGN(const CopyIndex copy, queue_->copy_changing(to, from, transfer.tensor->size()));
      captured.copies.emplace_back(copy, transfer.tensor->data());
    }
    return {};
  };
  HR_TRY(note(false));
  HR_TRY(enqueue_steps(work));
  HR_TRY(find_outputs(work));
  HR_TRY(note(true));
  return streamer_.end(*queue_);
}

Status QueuedRun::capture(const QueuedWork& work, CapturedGraph& captured, const CapturedRun& run) {
  captured.graph.reset();
  captured.copies.clear();
  const bool in_place = &captured == &run.fixed;
  std::vector<std::pair<BufferIndex, std::byte*>> places;  // of buffers that the graph has elsewhere
  for (const Transfer& transfer : transfers_) {
    if (!in_place || !lies_in_place(transfer)) continue;
    std::byte*& at = work.buffers[static_cast<size_t>(transfer.buffer)];
    places.emplace_back(transfer.buffer, std::exchange(at, transfer.tensor->data()));
  }
  // On our own queue: the default stream cannot be captured. The graph can be launched on any.
  WorkQueue* const target = std::exchange(queue_, own_.get());
  Status noted = queue_->begin_capture();
  if (noted.ok()) noted = note_work(work, captured, in_place);
  if (!noted.ok()) (void)streamer_.end(*queue_);  // a capture does not end while copies are forked from it
  auto graph = queue_->end_capture();
  queue_ = target;
  for (const auto& [buffer, place] : places) work.buffers[static_cast<size_t>(buffer)] = place;
  HR_TRY(noted);
  if (!graph.ok()) return graph.status();
  HR_TRY(find_outputs(work));
  captured.graph = *std::move(graph);
  captured.placement = placement(work);
  captured.on_device.clear();
  for (const Transfer& transfer : transfers_) captured.on_device.push_back(transfer.on_device);
  if (in_place) captured.addresses = run.addresses;
  return {};
}

Status QueuedRun::launch(const QueuedWork& work, CapturedGraph& captured) {
  HR_TRY(copy_all(false, false));
  size_t next = 0;
  for (const Transfer& transfer : transfers_) {
    if (!captured.addresses.empty()) break;  // none has moved
    if (!transfer.on_device || transfer.is_window) continue;
    auto& [copy, address] = captured.copies[next++];
    std::byte* const data = transfer.tensor->data();
    if (std::exchange(address, data) == data) continue;
    std::byte* const to = transfer.is_output ? data : transfer.place;
    std::byte* const from = transfer.is_output ? transfer.place : data;
    HR_TRY(captured.graph->set_copy(copy, to, from));
  }
  HR_TRY(work.before_step(0));
  HR_TRY(queue_->launch(*captured.graph));
  return copy_all(true, false);
}

// Outputs whose place is a strided window, which no queue can copy.
Status QueuedRun::deliver_windows(const QueuedWork& work) {
  for (const Transfer& transfer : transfers_) {
    if (!transfer.is_window) continue;
    const ShapePlan::Output& output = work.shape.outputs[transfer.output];
    const int64_t element = dtype_size(transfer.tensor->dtype());
    std::vector<std::byte> window(static_cast<size_t>(extent(output.shape, output.strides, element).count));
    HR_TRY(queue_->copy(window.data(), transfer.place, {static_cast<int64_t>(window.size())}));
    HR_TRY(queue_->synchronize());
    if (!transfer.on_device) {
      strided_copy(transfer.tensor->data(), transfer.tensor->strides(), window.data(), output.strides,
                   output.shape, element);
      continue;
    }
    dense_.resize(static_cast<size_t>(output.size.count));
    strided_copy(dense_.data(), transfer.tensor->strides(), window.data(), output.strides, output.shape,
                 element);
    HR_TRY(queue_->copy(transfer.tensor->data(), dense_.data(), output.size));
    HR_TRY(queue_->synchronize());
  }
  return {};
}

Status QueuedRun::finish(const QueuedWork& work) {
  HR_TRY(deliver_windows(work));
  const bool all_on_device = std::all_of(transfers_.begin(), transfers_.end(),
                                         [](const Transfer& transfer) { return transfer.on_device; });
  if (!borrowed_ || !all_on_device) return queue_->synchronize();
  return pool_.note_end(this, *queue_);
}

Status QueuedRun::run(const QueuedWork& work, CapturedRun& captured) {
  HR_TRY(prepare_queue());
  HR_TRY(pool_.follow(this, *queue_));
  HR_TRY(find_inputs(work));
  HR_TRY(find_outputs(work));
  CapturedGraph& graph = choose_graph(captured);
  std::optional<DriverWatch> watch;  // the run may load code, or become a graph
  if (!is_current(work, graph, captured)) watch.emplace(device_);
  const bool capturable = streamer_.idle() || source_->capturable();
  const bool timed = captured.runs > 0 && !streamer_.idle() && !work.times.settled();
  Status status;
  if (timed) {
    status = run_timed(work);
  } else if (!is_current(work, graph, captured) && captured.runs > 0 && capturable) {
    status = capture(work, graph, captured);
    constexpr int64_t kMostPatience = 1024;
    if (&graph == &captured.fixed) captured.patience = std::min(captured.patience * 2, kMostPatience);
  }
  if (status.ok() && !timed) {
    status = is_current(work, graph, captured) ? launch(work, graph) : run_eagerly(work);
  }
  if (status.ok()) status = finish(work);
  if (!status.ok()) {
    streamer_.abandon();
    (void)queue_->synchronize();  // nothing of a failed run may still write
    captured.moving.graph.reset();
    captured.fixed.graph.reset();
    return status;
  }
  ++captured.runs;
  return {};
}

}  // namespace headrace::runtime
