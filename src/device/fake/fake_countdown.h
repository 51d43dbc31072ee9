// Countdown: lets the nth call fail.
#pragma once

#include <atomic>
#include <cstdint>

namespace headrace::fake {

// Threads: both methods may be called by several.
class Countdown {
 public:
  void arm(int64_t nth) { left_ = nth; }  // 0 is the next call, negative: none
  bool due() {                            // true on the nth call of it, once
    int64_t left = left_.load();
    while (left >= 0) {
      if (left_.compare_exchange_weak(left, left - 1)) return left == 0;
    }
    return false;
  }

 private:
  std::atomic<int64_t> left_ = -1;
};

}  // namespace headrace::fake
