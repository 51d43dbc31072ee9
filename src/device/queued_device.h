// QueuedDevice: a device of its own memory, whose queues run behind the host.
//
// A queue takes work and returns; events order queues among each other; what a queue is given between
// begin_capture and end_capture becomes a graph, launched by one call. CUDA's streams, events and graphs are
// the model; the fake device has them too, so that races are found without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "device/device.h"

namespace headrace {

// A point in a queue. Made by a device, recorded again and again. What was recorded inside a capture is a
// point of the graph: only queues of that capture can wait for it.
class Event {
 public:
  virtual ~Event() = default;
  // Waits on the host. Errors: kUnavailable: the device failed.
  virtual Status synchronize() = 0;
  // Nanoseconds on the device's clock from `earlier` to this. REQUIRES: both come from make_timed_event, were
  // recorded outside captures, and are over.
  virtual Result<int64_t> ns_since(const Event& earlier) const = 0;
};

// A copy inside a graph, of which source or destination may change from launch to launch.
using CopyIndex = int32_t;
inline constexpr CopyIndex kNoCopy = -1;

// Work captured once and launched by one call. Not launched by two threads at a time.
class WorkGraph {
 public:
  virtual ~WorkGraph() = default;
  // For the launches to come. REQUIRES: the copy was captured by WorkQueue::copy_changing; host memory is not
  // changed for the device's. Errors: kUnavailable: the driver wants a new capture for this memory.
  virtual Status set_copy(CopyIndex copy, std::byte* to, const std::byte* from) = 0;
};

class WorkQueue : public Queue {
 public:
  virtual Status record(Event& event) = 0;
  virtual Status wait(const Event& event) = 0;  // what comes next waits for the point recorded last
  // Between any two of host memory and the device's. Pageable host memory makes it wait.
  virtual Status copy(std::byte* to, const std::byte* from, Bytes size) = 0;
  // The same, and gives the copy a number where the queue captures (else kNoCopy: so too for no bytes).
  virtual Result<CopyIndex> copy_changing(std::byte* to, const std::byte* from, Bytes size) = 0;

  // Between the two, work is noted and not run. Queues that wait for an event of this one are captured with
  // it; they must have been waited for by this one before the end. `end_capture` ends it in any case.
  virtual Status begin_capture() = 0;
  virtual Result<std::unique_ptr<WorkGraph>> end_capture() = 0;
  virtual Status launch(WorkGraph& graph) = 0;
};

// A range of an open file as the source of copies; offsets are from its begin. Threads: several may
// copy, each to a queue of its own. Destroyed when copies from it are over.
class CopySource {
 public:
  virtual ~CopySource() = default;
  // REQUIRES: offset is a multiple of kReadAlignment. Errors: kUnavailable, kCorrupt (the file is shorter).
  virtual Status copy(Bytes offset, Bytes size, std::byte* to, WorkQueue& queue) = 0;
  // Whether copy() may be captured: it does nothing on the host.
  virtual bool capturable() const = 0;
  // Where the device itself can read the byte at `offset` and all after it; nullptr where it cannot.
  virtual const std::byte* visible(Bytes offset) const = 0;
  virtual Bytes host_bytes() const = 0;            // pinned for it
  virtual std::string_view mechanism() const = 0;  // "registered map"; "pinned ring of 64.0 MiB (why)"
};

class QueuedDevice : public Device {
 public:
  QueuedDevice* queued() final { return this; }
  virtual int index() const { return 0; }  // among the devices of its kind
  virtual Result<std::unique_ptr<WorkQueue>> make_work_queue() = 0;
  // A queue over a stream of the caller's; nullptr is the default stream. The stream outlives it.
  virtual Result<std::unique_ptr<WorkQueue>> borrow_queue(void* stream) = 0;
  virtual Result<std::unique_ptr<Event>> make_event() = 0;
  virtual Result<std::unique_ptr<Event>> make_timed_event() = 0;  // one that notes when it is reached
  // [begin, begin + size) of the file, from a multiple of kReadAlignment on. `fd` is borrowed and must
  // outlive the source. `host_limit`: the most bytes to pin; above it, and where the driver refuses to pin
  // the file's pages, a ring of pinned memory.
  virtual Result<std::unique_ptr<CopySource>> open_source(int fd, Bytes begin, Bytes size, Bytes host_limit,
                                                          std::string_view name) = 0;
  // Whether `data` is memory of this device (or memory that it reads in place).
  virtual bool owns(const void* data) const = 0;

  // What the driver took beside our allocations, and still has, as far as it was watched (DriverWatch): for
  // code, libraries, captured runs, and to round up to its own blocks.
  virtual Bytes driver_bytes() const { return {}; }
  // An allocation of at least half as much takes whole blocks of so much; 0: none does.
  virtual Bytes block() const { return {}; }
  virtual void begin_watch() {}
  virtual void end_watch() {}
};

// While one lives, what the driver takes or gives back counts into driver_bytes(). Watches nest and overlap.
// The device's free memory is what is looked at, so that what others take meanwhile cannot be told apart.
class DriverWatch {
 public:
  explicit DriverWatch(Device& device) : device_(device.queued()) {
    if (device_) device_->begin_watch();
  }
  ~DriverWatch() {
    if (device_) device_->end_watch();
  }
  DriverWatch(const DriverWatch&) = delete;
  DriverWatch& operator=(const DriverWatch&) = delete;

 private:
  QueuedDevice* const device_;
};

}  // namespace headrace
