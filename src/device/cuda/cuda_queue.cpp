#include "device/cuda/cuda_queue.h"

#include <utility>

#include "core/error.h"
#include "core/units.h"

namespace headrace::cuda {
namespace {

CUdeviceptr address(const std::byte* data) { return reinterpret_cast<CUdeviceptr>(data); }

class StreamEvent final : public Event {
 public:
  StreamEvent(const CudaDevice& device, unsigned flags) : device_(device), flags_(flags) {}
  ~StreamEvent() override {
    const CurrentContext current(device_);
    if (event_) (void)device_.api().cuEventDestroy(event_);
  }
  Status create() {
    const CurrentContext current(device_);
    return check(device_.api().cuEventCreate(&event_, flags_), "make an event");
  }
  Status synchronize() override {
    const CurrentContext current(device_);
    return check(device_.api().cuEventSynchronize(event_), "wait for an event");
  }
  Result<int64_t> ns_since(const Event& earlier) const override {
    const CurrentContext current(device_);
    float ms = 0;
    HR_TRY(
        check(device_.api().cuEventElapsedTime(&ms, static_cast<const StreamEvent&>(earlier).event_, event_),
              "ask for the time between events"));
    return static_cast<int64_t>(static_cast<double>(ms) * 1e6);
  }
  CUevent get() const { return event_; }

 private:
  const CudaDevice& device_;
  const unsigned flags_;
  CUevent event_ = nullptr;
};

class StreamGraph final : public WorkGraph {
 public:
  StreamGraph(const CudaDevice& device, CUgraph graph, std::vector<ChangingCopy> copies)
      : device_(device), graph_(graph), copies_(std::move(copies)) {}
  ~StreamGraph() override {
    const CurrentContext current(device_);
    if (executable_) (void)device_.api().cuGraphExecDestroy(executable_);  // a launch under way goes on
    (void)device_.api().cuGraphDestroy(graph_);
  }
  Status instantiate(CUstream stream) {
    const CurrentContext current(device_);
    HR_TRY(
        check(device_.api().cuGraphInstantiate(&executable_, graph_, 0), "make a captured run launchable"));
    return check(device_.api().cuGraphUpload(executable_, stream), "upload a captured run");
  }
  Status set_copy(CopyIndex copy, std::byte* to, const std::byte* from) override;
  CUgraphExec get() const { return executable_; }

 private:
  const CudaDevice& device_;
  CUgraph graph_;  // kept: the nodes of copies_ are its
  CUgraphExec executable_ = nullptr;
  std::vector<ChangingCopy> copies_;
};

Status StreamGraph::set_copy(CopyIndex copy, std::byte* to, const std::byte* from) {
  if (copy < 0 || static_cast<size_t>(copy) >= copies_.size()) {
    return internal_error("copy {} of a captured run that has {}", copy, copies_.size());
  }
  ChangingCopy& known = copies_[static_cast<size_t>(copy)];
  CUDA_MEMCPY3D params = known.params;
  if (params.dstMemoryType == CU_MEMORYTYPE_HOST) {
    params.dstHost = to;
  } else {
    params.dstDevice = address(to);
  }
  if (params.srcMemoryType == CU_MEMORYTYPE_HOST) {
    params.srcHost = from;
  } else {
    params.srcDevice = address(from);
  }
  const CurrentContext current(device_);
  HR_TRY(
      check(device_.api().cuGraphExecMemcpyNodeSetParams(executable_, known.node, &params, device_.context()),
            "change the addresses of a copy in a captured run"));
  known.params = params;
  return {};
}

class StreamQueue final : public CudaQueue {
 public:
  enum class Owned { yes, no };
  StreamQueue(const CudaDevice& device, Captures& captures, CUstream stream, Owned owned)
      : device_(device), captures_(captures), stream_(stream), owned_(owned) {}
  ~StreamQueue() override {
    if (capturing_) (void)end_capture();
    if (owned_ == Owned::no) return;
    const CurrentContext current(device_);
    (void)device_.api().cuStreamSynchronize(stream_);
    (void)device_.api().cuStreamDestroy(stream_);
  }

  CUstream stream() const override { return stream_; }
  Status synchronize() override {
    const CurrentContext current(device_);
    return check(device_.api().cuStreamSynchronize(stream_), "wait for a stream");
  }
  Status record(Event& event) override {
    const CurrentContext current(device_);
    return check(device_.api().cuEventRecord(static_cast<StreamEvent&>(event).get(), stream_),
                 "record an event");
  }
  Status wait(const Event& event) override {
    const CurrentContext current(device_);
    return check(device_.api().cuStreamWaitEvent(stream_, static_cast<const StreamEvent&>(event).get(), 0),
                 "let a stream wait for an event");
  }
  Status copy(std::byte* to, const std::byte* from, Bytes size) override;
  Result<CopyIndex> copy_changing(std::byte* to, const std::byte* from, Bytes size) override;
  Status begin_capture() override;
  Result<std::unique_ptr<WorkGraph>> end_capture() override;
  Status launch(WorkGraph& graph) override {
    const CurrentContext current(device_);
    return check(device_.api().cuGraphLaunch(static_cast<StreamGraph&>(graph).get(), stream_),
                 "launch a captured run");
  }

 private:
  struct CaptureState {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    cuuint64_t id = 0;
    const CUgraphNode* last = nullptr;  // what comes next depends on these
    size_t last_count = 0;
  };
  Result<CaptureState> capture_state() const;

  const CudaDevice& device_;
  Captures& captures_;
  const CUstream stream_;
  const Owned owned_;
  bool capturing_ = false;  // begun here, not by another stream's event
  cuuint64_t capture_ = 0;
};

Status StreamQueue::copy(std::byte* to, const std::byte* from, Bytes size) {
  if (size.count < 0) return internal_error("copy of {} bytes", size.count);
  if (size.count == 0) return {};
  const CurrentContext current(device_);
  const CUresult result =
      device_.api().cuMemcpyAsync(address(to), address(from), static_cast<size_t>(size.count), stream_);
  if (result == CUDA_SUCCESS) return {};
  return check(result, fmt::format("copy {} from {} to {}", to_text(size), static_cast<const void*>(from),
                                   static_cast<const void*>(to)));
}

Result<StreamQueue::CaptureState> StreamQueue::capture_state() const {
  CaptureState state;
  CUgraph graph = nullptr;
  const CUgraphEdgeData* edges = nullptr;
  HR_TRY(check(device_.api().cuStreamGetCaptureInfo(stream_, &state.status, &state.id, &graph, &state.last,
                                                    &edges, &state.last_count),
               "ask a stream for its capture"));
  return state;
}

Result<CopyIndex> StreamQueue::copy_changing(std::byte* to, const std::byte* from, Bytes size) {
  HR_TRY(copy(to, from, size));
  if (size.count == 0) return kNoCopy;
  const CurrentContext current(device_);
  HR_ASSIGN(const CaptureState state, capture_state());
  if (state.status == CU_STREAM_CAPTURE_STATUS_NONE) return kNoCopy;
  if (state.status != CU_STREAM_CAPTURE_STATUS_ACTIVE || state.last_count != 1) {
    return unavailable("copy of {} in a capture: the capture is broken (status {}, {} last nodes)",
                       to_text(size), static_cast<int>(state.status), state.last_count);
  }
  ChangingCopy copy{state.last[0], {}};
  HR_TRY(check(device_.api().cuGraphMemcpyNodeGetParams(copy.node, &copy.params), "look at a captured copy"));
  return captures_.add(state.id, copy);
}

Status StreamQueue::begin_capture() {
  if (capturing_) return internal_error("a capture is begun inside another one of the same queue");
  const CurrentContext current(device_);
  // Relaxed: the libraries may load code while they are captured, and other threads go on as they like.
  HR_TRY(
      check(device_.api().cuStreamBeginCapture(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), "begin a capture"));
  capturing_ = true;
  const auto state = capture_state();
  if (!state.ok()) {
    (void)end_capture();
    return state.status();
  }
  capture_ = state->id;
  return {};
}

Result<std::unique_ptr<WorkGraph>> StreamQueue::end_capture() {
  if (!capturing_) return internal_error("a capture is ended that was not begun");
  capturing_ = false;
  const CurrentContext current(device_);
  CUgraph graph = nullptr;
  const CUresult ended = device_.api().cuStreamEndCapture(stream_, &graph);
  std::vector<ChangingCopy> copies = captures_.take(std::exchange(capture_, 0));
  if (ended != CUDA_SUCCESS && graph) (void)device_.api().cuGraphDestroy(graph);
  HR_TRY(check(ended, "end a capture"));
  if (!graph) return unavailable("end a capture: it broke, and the driver gave no graph");
  auto made = std::make_unique<StreamGraph>(device_, graph, std::move(copies));
  HR_TRY(made->instantiate(stream_));
  return std::unique_ptr<WorkGraph>(std::move(made));
}

class FailedQueue final : public CudaQueue {
 public:
  explicit FailedQueue(Status why) : why_(std::move(why)) {}
  CUstream stream() const override { return nullptr; }
  Status synchronize() override { return why_; }
  Status record(Event&) override { return why_; }
  Status wait(const Event&) override { return why_; }
  Status copy(std::byte*, const std::byte*, Bytes) override { return why_; }
  Result<CopyIndex> copy_changing(std::byte*, const std::byte*, Bytes) override { return why_; }
  Status begin_capture() override { return why_; }
  Result<std::unique_ptr<WorkGraph>> end_capture() override { return why_; }
  Status launch(WorkGraph&) override { return why_; }

 private:
  const Status why_;
};

}  // namespace

CopyIndex Captures::add(cuuint64_t capture, const ChangingCopy& copy) {
  const std::lock_guard lock(mutex_);
  std::vector<ChangingCopy>& copies = copies_[capture];
  copies.push_back(copy);
  return static_cast<CopyIndex>(copies.size()) - 1;
}

std::vector<ChangingCopy> Captures::take(cuuint64_t capture) {
  const std::lock_guard lock(mutex_);
  auto node = copies_.extract(capture);
  return node ? std::move(node.mapped()) : std::vector<ChangingCopy>();
}

Result<std::unique_ptr<CudaQueue>> make_stream(const CudaDevice& device, Captures& captures) {
  const CurrentContext current(device);
  CUstream stream = nullptr;
  HR_TRY(check(device.api().cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "make a stream"));
  return std::unique_ptr<CudaQueue>(
      std::make_unique<StreamQueue>(device, captures, stream, StreamQueue::Owned::yes));
}

std::unique_ptr<CudaQueue> borrow_stream(const CudaDevice& device, Captures& captures, CUstream stream) {
  return std::make_unique<StreamQueue>(device, captures, stream, StreamQueue::Owned::no);
}

std::unique_ptr<CudaQueue> make_failed_queue(Status why) {
  return std::make_unique<FailedQueue>(std::move(why));
}

Result<std::unique_ptr<Event>> make_stream_event(const CudaDevice& device, unsigned flags) {
  auto event = std::make_unique<StreamEvent>(device, flags);
  HR_TRY(event->create());
  return std::unique_ptr<Event>(std::move(event));
}

}  // namespace headrace::cuda
