// StepTimer: how long the steps of a run take on a device that runs behind the host, by its own clock.
#pragma once

#include <memory>
#include <vector>

#include "device/queued_device.h"
#include "runtime/step_times.h"

namespace headrace::runtime {

// For one run, outside captures.
class StepTimer {
 public:
  explicit StepTimer(QueuedDevice& device) : device_(device) {}

  // Around what a step puts on the queue, once its weights are there.
  Status begin(StepIndex step, WorkQueue& queue) { return mark(step, queue); }
  Status end(StepIndex step, WorkQueue& queue) { return mark(step, queue); }
  // REQUIRES: the run is over.
  Status tell(StepTimes& times) const;

 private:
  Status mark(StepIndex step, WorkQueue& queue);

  struct Mark {
    StepIndex step;
    std::unique_ptr<Event> event;
  };
  QueuedDevice& device_;
  std::vector<Mark> marks_;  // begin and end of a step, then those of the next
};

}  // namespace headrace::runtime
