// ReadStretch: the disk's rate, over stretches of reads in which it does not pause.
//
// While a run stands still for a read the disk has work, since the moment that the read was started, and its
// end is noticed at once. Where the disk has paused before and after a stretch, its bytes are exact. Where it
// goes on, what the disk has brought by then of reads behind stands for what it had brought before, the
// better the longer the stretch.
#pragma once

#include <algorithm>
#include <cstdint>

#include <headrace/bytes.h>
#include "runtime/link_rate.h"

namespace headrace::runtime {

// Threads: none of its own.
class ReadStretch {
 public:
  // Stretches that begin or end without a pause count from so many bytes on.
  void set_enough(Bytes enough) {
    enough_ = enough;
    stop();
  }
  void stop() { begin_ = Begin::kNone; }  // the reads so far do not count

  // The reads in their order. `waited`: the run stood still until the read was over.
  void add(Bytes size, int64_t issued_ns, int64_t finished_ns, bool waited, LinkRate& rate) {
    const bool paused = issued_ns > end_ns_;
    const bool at_once = waited || finished_ns <= end_ns_ + (end_ns_ - begin_ns_) / 16;
    if (paused && begin_ == Begin::kPause) rate.note(size_, end_ns_ - begin_ns_);
    end_ns_ = std::max(end_ns_, finished_ns);
    if (paused && waited) {
      begin(Begin::kPause, issued_ns);
    } else if (paused || !at_once) {
      stop();
    } else if (begin_ == Begin::kNone) {
      if (waited) begin(Begin::kRead, end_ns_);
      return;
    }
    size_ += size;
    if (begin_ == Begin::kNone || size_ < enough_) return;
    rate.note(size_, end_ns_ - begin_ns_);
    begin(Begin::kRead, end_ns_);
  }

 private:
  enum class Begin : uint8_t { kNone, kPause, kRead };  // read: at the end of one
  void begin(Begin how, int64_t ns) {
    begin_ = how;
    begin_ns_ = ns;
    size_ = {};
  }

  Bytes enough_, size_;
  Begin begin_ = Begin::kNone;
  int64_t begin_ns_ = 0, end_ns_ = 0;  // the end: of all reads so far
};

}  // namespace headrace::runtime
