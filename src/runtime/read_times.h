// ReadTimes: how long a disk was kept busy, out of reads that overlap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::runtime {

// Threads: none of its own.
class ReadTimes {
 public:
  void reserve(size_t reads) { reads_.reserve(reads); }
  void add(int64_t begin_ns, int64_t end_ns) { reads_.push_back({begin_ns, end_ns}); }

  // The time with at least one of the reads added since the last call under way. What a former call has
  // counted is not counted again, so the sum over the runs of a context is right where reads span two runs.
  int64_t take_busy_ns() {
    std::sort(reads_.begin(), reads_.end(), [](const Read& a, const Read& b) { return a.begin < b.begin; });
    int64_t busy = 0;
    for (const Read& read : reads_) {
      busy += std::max<int64_t>(0, read.end - std::max(read.begin, counted_until_));
      counted_until_ = std::max(counted_until_, read.end);
    }
    reads_.clear();
    return busy;
  }

 private:
  struct Read {
    int64_t begin, end;
  };
  std::vector<Read> reads_;
  int64_t counted_until_ = INT64_MIN;
};

}  // namespace headrace::runtime
