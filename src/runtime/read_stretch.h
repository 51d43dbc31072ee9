// ReadStretch: the disk's rate, over stretches of reads in which it never pauses.
//
// While a run stands still for a read the disk has work, since the moment that the read was started. Several
// are under way at a time: from the end of one to that of a later one, what the disk has brought of those behind
// stands for what it had brought before, the better the longer the stretch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <headrace/bytes.h>
#include "runtime/link_rate.h"

namespace headrace::runtime {

// Threads: none of its own.
class ReadStretch {
 public:
  // From now on a rate is told for each stretch of at least so many bytes.
  void start(Bytes enough) {
    enough_ = enough;
    stop();
  }
  void stop() { goes_on_ = false; }  // what comes next does not follow what was before

  // The reads in their order. `waited`: the run stood still until the read was over.
  void add(Bytes size, int64_t issued_ns, int64_t finished_ns, bool waited, LinkRate& rate) {
    size_ += size;
    if (!waited) return;
    const bool follows = std::exchange(goes_on_, true) && issued_ns <= end_ns_;
    if (!follows) return begin_at(finished_ns);
    end_ns_ = std::max(end_ns_, finished_ns);
    if (size_ < enough_) return;
    rate.note(size_, end_ns_ - begin_ns_);
    begin_at(end_ns_);
  }

 private:
  void begin_at(int64_t ns) {
    begin_ns_ = end_ns_ = ns;
    size_ = {};
  }

  Bytes enough_, size_;
  bool goes_on_ = false;
  int64_t begin_ns_ = 0, end_ns_ = 0;
};

}  // namespace headrace::runtime
