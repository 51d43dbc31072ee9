// Tuning: how one open engine makes the choices that need its device, and what became of them.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include <headrace/bytes.h>
#include <headrace/progress.h>
#include <headrace/status.h>
#include <headrace/tuning.h>
#include "core/tuning_store.h"

namespace headrace {

struct TuningOptions {
  // No choice depends on a timing, nor on what was timed before: nothing is tuned, and no store is asked.
  bool deterministic = false;
  std::chrono::nanoseconds limit = std::chrono::seconds(10);  // of timing, and of making what is timed
  Bytes memory = mib(512);                                    // of operands made up for what is timed
  std::shared_ptr<TuningStore> store;  // nullptr: choices are kept in the process alone
};

enum class TuningOutcome { kTuned, kKnown, kUntuned };

// Threads: any.
class Tuning {
 public:
  explicit Tuning(TuningOptions options) : options_(std::move(options)) {}

  bool deterministic() const { return options_.deterministic; }
  TuningStore* store() const { return options_.deterministic ? nullptr : options_.store.get(); }
  Bytes memory() const { return options_.memory; }
  // No more is timed.
  bool exhausted() const;
  void charge(std::chrono::nanoseconds time);
  // What became of a problem; the first time counts.
  void note(const std::string& problem, TuningOutcome outcome);
  TuningReport report() const;

  // Called while the engine is opened.
  void set_progress(Progress progress) { progress_ = std::move(progress); }
  // Errors: kUnavailable where it was cancelled.
  Status progress(int64_t done, int64_t total) const;

 private:
  const TuningOptions options_;
  Progress progress_;
  mutable std::mutex mutex_;  // guards the rest
  std::set<std::string, std::less<>> noted_;
  std::chrono::nanoseconds spent_{};
  int64_t tuned_ = 0, known_ = 0, untuned_ = 0;
};

}  // namespace headrace
