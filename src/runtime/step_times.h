// StepTimes: how long each step of a context takes, its waits for weights left out.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "engine/plan.h"

namespace headrace::runtime {

// Threads: one notes, any may ask.
class StepTimes {
 public:
  explicit StepTimes(size_t steps) : times_(steps) {}

  void note(StepIndex step, int64_t ns) {  // a mean in which older runs fade
    auto& time = times_[static_cast<size_t>(step)];
    const int64_t before = time.load(std::memory_order_relaxed);
    time.store(before == 0 ? ns : (3 * before + ns) / 4, std::memory_order_relaxed);
  }
  void note_run() { runs_.fetch_add(1, std::memory_order_release); }
  void settle() { runs_.store(kSettled, std::memory_order_release); }  // of a run that was not the first
  // False in the first runs, which touch memory and code for the first time.
  bool settled() const { return runs_.load(std::memory_order_acquire) >= kSettled; }
  int64_t runs() const { return runs_.load(std::memory_order_relaxed); }  // since the first, until settle()
  // By step of the planner's, the last of which delivers outputs and takes no time.
  std::vector<int64_t> get() const {
    std::vector<int64_t> times(times_.size() + 1, 0);
    for (size_t i = 0; i < times_.size(); ++i) times[i] = times_[i].load(std::memory_order_relaxed);
    return times;
  }

 private:
  static constexpr int64_t kSettled = 3;
  std::vector<std::atomic<int64_t>> times_;
  std::atomic<int64_t> runs_ = 0;
};

// Whether a quarter of the run or more lies elsewhere. Plans do not follow less than that: weights would
// move, for noise.
inline bool differ(std::span<const int64_t> a, std::span<const int64_t> b) {
  if (a.size() != b.size()) return true;
  double sum_a = 0, sum_b = 0, moved = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum_a += static_cast<double>(a[i]);
    sum_b += static_cast<double>(b[i]);
  }
  if (sum_a <= 0 || sum_b <= 0) return sum_a != sum_b;
  for (size_t i = 0; i < a.size(); ++i) {
    moved += std::abs(static_cast<double>(a[i]) / sum_a - static_cast<double>(b[i]) / sum_b) / 2;
  }
  return moved >= 0.25;
}

}  // namespace headrace::runtime
