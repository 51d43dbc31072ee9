// QueuedRun: a context's runs on a device that runs behind the host.
//
// All inputs and outputs pass through places in the arena, so that the addresses of a shape's run stay, and
// the whole run, streamed weights included, is captured once into a graph and then launched by one call. The
// first run of a shape is put on the queue step by step: a shape that comes once costs no capture. So is,
// once, a run that streams, whose steps and copies are timed for the planner. Where the caller's tensors stay
// where they are from run to run, a second graph works on them in place, without copies.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <headrace/status.h>
#include <headrace/tensor.h>
#include "device/queued_device.h"
#include "engine/engine_file.h"
#include "runtime/copy_timer.h"
#include "runtime/pool.h"
#include "runtime/queued_streamer.h"
#include "runtime/shape_plan.h"
#include "runtime/step_timer.h"

namespace headrace::runtime {

// An input or output that passes through a place in the arena.
struct Staged {
  size_t index;
  bool is_output;
  Bytes offset;
  BufferIndex buffer;
};

// A tensor of the caller's and its place on the device, row-major.
struct Transfer {
  std::byte* place = nullptr;
  const Tensor* tensor = nullptr;
  bool on_device = false;  // the caller's tensor: copied inside the graph
  bool is_output = false;
  bool is_window = false;  // an output whose place is a strided window: copied by the host
  size_t output = 0;
  BufferIndex buffer = kNone;  // that could lie in the caller's tensor itself
};

// Where a run's memory is. A captured run is of use while all of it is the same: an arena or a scratch that
// grows where it is changes nothing.
struct Placement {
  uint64_t residency = 0, streams = 0;  // versions
  const std::byte* arena = nullptr;
  bool operator==(const Placement&) const = default;
};

// A captured run, and what it was captured with.
struct CapturedGraph {
  std::unique_ptr<WorkGraph> graph;
  Placement placement;
  // Of the tensors on the device, in the order of the transfers: the copy, and the address that it has now.
  std::vector<std::pair<CopyIndex, std::byte*>> copies;
  std::vector<bool> on_device;        // by transfer
  std::vector<std::byte*> addresses;  // of the tensors on the device, where it works on them in place
};

// The captured runs of a shape.
struct CapturedRun {
  CapturedGraph moving;  // for tensors wherever they lie
  CapturedGraph fixed;   // on tensors in place
  int64_t runs = 0;      // of this shape so far
  // Of the tensors on the device in the latest run, and how many runs in a row they have been there.
  std::vector<std::byte*> addresses;
  int64_t stays = 0;
  int64_t patience = 3;  // such runs before a graph is fixed to them; more with each that was in vain
};

// What a run works on: the context's own.
struct QueuedWork {
  const Plan& plan;
  const ShapePlan& shape;
  std::span<std::byte*> buffers;  // by buffer; those of streamed weights are set by the run
  std::span<RowSource* const> rows;
  std::byte* arena;
  std::span<const Staged> staged;
  std::span<const std::vector<BufferIndex>> group_buffers;
  std::span<const Tensor> inputs, outputs;
  uint64_t residency_version;
  StepTimes& times;  // noted once, in the first run that streams and that is not the shape's first
  const std::function<Status(StepIndex)>& before_step;  // progress; an error ends the run
};

class QueuedRun {
 public:
  // Borrows all three.
  QueuedRun(QueuedDevice& device, const EngineFile& file, Pool& pool)
      : device_(device), pool_(pool), streamer_(device, file, pool.scratch()) {}
  ~QueuedRun();

  // A new schedule of streamed weights; waits for runs under way.
  Status configure(StreamSchedule schedule, CopySource* source);
  void drop();
  bool has_moved() const { return streamer_.has_moved(); }  // the scratch: configure() comes first
  Bytes streamed() const { return streamer_.streamed(); }
  const LinkRate& link_rate() const { return link_rate_; }  // noted when the steps are timed

  // Puts a run on the queue and, unless the work goes to a stream of the caller's, waits for it.
  Status run(const QueuedWork& work, CapturedRun& captured);
  // Runs go to this stream of the caller's from now on, and return before they are over where all inputs and
  // outputs lie on the device. nullopt: a queue of our own.
  Status set_stream(std::optional<void*> stream);
  // Waits for the runs under way, those of others that share the pool too.
  Status settle() { return pool_.settle(); }

 private:
  struct RunTimer {
    StepTimer steps;
    CopyTimer copies;
  };
  Status prepare_queue();
  Status find_inputs(const QueuedWork& work);
  Status find_outputs(const QueuedWork& work);
  Status add(Transfer transfer);
  Status enqueue_steps(const QueuedWork& work, RunTimer* timer = nullptr);
  Status copy(const Transfer& transfer);
  Status copy_all(bool outputs, bool on_device_too);
  Status run_eagerly(const QueuedWork& work, RunTimer* timer = nullptr);
  Status run_timed(const QueuedWork& work);
  CapturedGraph& choose_graph(CapturedRun& captured) const;
  bool lies_in_place(const Transfer& transfer) const;
  Status capture(const QueuedWork& work, CapturedGraph& captured, const CapturedRun& run);
  Status note_work(const QueuedWork& work, CapturedGraph& captured, bool in_place);
  Status launch(const QueuedWork& work, CapturedGraph& captured);
  Status finish(const QueuedWork& work);
  Status deliver_windows(const QueuedWork& work);
  Placement placement(const QueuedWork& work) const {
    return {work.residency_version, streamer_.version(), work.arena};
  }
  bool is_current(const QueuedWork& work, const CapturedGraph& captured, const CapturedRun& run) const;

  QueuedDevice& device_;
  Pool& pool_;
  QueuedStreamer streamer_;
  LinkRate link_rate_;
  CopySource* source_ = nullptr;
  std::unique_ptr<WorkQueue> own_, borrowed_;
  WorkQueue* queue_ = nullptr;       // one of the two
  std::vector<Transfer> transfers_;  // of the run that is prepared: inputs, then outputs
  std::vector<std::byte> dense_;
};

}  // namespace headrace::runtime
