// CopyTimer: how fast copies arrive on a device that runs behind the host, by its own clock.
#pragma once

#include <memory>
#include <vector>

#include <headrace/bytes.h>
#include "device/queued_device.h"
#include "runtime/link_rate.h"

namespace headrace::runtime {

// For one run, outside captures.
class CopyTimer {
 public:
  explicit CopyTimer(QueuedDevice& device) : device_(device) {}

  // Around copies on the queue between which it waits for nothing. end() may come without begin().
  Status begin(WorkQueue& copies);
  void add(Bytes size) { stretches_.back().size += size; }  // REQUIRES: after begin()
  Status end(WorkQueue& copies);
  // REQUIRES: the run is over.
  Status tell(LinkRate& rate) const;

 private:
  struct Stretch {
    Bytes size;
    std::unique_ptr<Event> begin, end;
  };
  QueuedDevice& device_;
  std::vector<Stretch> stretches_;
};

}  // namespace headrace::runtime
