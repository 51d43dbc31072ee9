// QueuedStreamer: puts the copies of streamed weights on a queue of their own, beside the steps.
//
// Nothing here waits on the host: events order the copies and the steps, so the same calls run at once or are
// captured into a graph. schedule_streams has solved where each group goes and when its place is free.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "device/queued_device.h"
#include "engine/engine_file.h"
#include "runtime/copy_timer.h"
#include "runtime/pool.h"
#include "runtime/weight_plan.h"

namespace headrace::runtime {

// Threads: one QueuedStreamer per Context; calls must not overlap. Borrows the device, the file and the
// memory of the scratch.
class QueuedStreamer {
 public:
  QueuedStreamer(QueuedDevice& device, const EngineFile& file, PoolMemory& scratch)
      : device_(device), file_(file), scratch_(scratch) {}

  // Takes a new schedule and scratch for it; what there was is freed first. `source` outlives the schedule.
  // Errors: kExhausted, kUnavailable; the streamer holds no memory then.
  // REQUIRES, here and in drop(): no run is under way on the device.
  Status configure(StreamSchedule schedule, CopySource* source);
  void drop();
  // Another one where captured copies do not fit the schedule any more, or lie elsewhere. Dropping the
  // scratch changes nothing where the same comes back.
  uint64_t version() const { return version_; }
  bool has_moved() const { return active_ && base_ != scratch_.data(); }  // the scratch: configure it anew

  // Forks the copies from `compute` and puts the first ones on their queue. `timer`: of this run's copies; it
  // outlives the run.
  Status begin(WorkQueue& compute, CopyTimer* timer = nullptr);
  // `compute` waits for the loads that begin at `step`.
  Result<std::span<const StreamLoad>> acquire(StepIndex step, WorkQueue& compute);
  // The step is on `compute`: the copies that wait for its places follow it.
  Status release(StepIndex step, WorkQueue& compute);
  // Joins: what `compute` is given next comes after all copies. Also after an error of the calls above.
  Status end(WorkQueue& compute);
  // After a run that failed half-way: waits for the copies that it began.
  void abandon();

  bool idle() const { return !active_; }
  std::byte* data(const StreamLoad& load) const { return base_ + load.offset.count; }
  Bytes streamed() const { return active_ ? schedule_.streamed : Bytes{}; }

 private:
  Status issue(StepIndex finished);
  Status wait_for_place();
  Status make_events();

  QueuedDevice& device_;
  const EngineFile& file_;
  CopySource* source_ = nullptr;
  bool active_ = false;
  StreamSchedule schedule_;  // the latest, with the scratch that it had, also where it is dropped
  std::byte* base_ = nullptr;
  uint64_t version_ = 0;
  PoolMemory::Share scratch_;
  std::unique_ptr<WorkQueue> copies_;
  std::unique_ptr<Event> forked_, joined_;
  bool is_forked_ = false;
  std::vector<std::unique_ptr<Event>> arrived_;   // by load
  std::vector<std::unique_ptr<Event>> finished_;  // by step; empty where no copy waits for it
  size_t next_ = 0;                               // the first load not issued yet
  CopyTimer* timer_ = nullptr;                    // in a run that is timed
};

}  // namespace headrace::runtime
