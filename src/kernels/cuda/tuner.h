// Tuner: picks the fastest of several ways to do a problem by timing them on the device, inside bounds.
//
// A problem is timed once: its choice is kept as text (TuningChoices, TuningStore), and taken from there when
// the problem comes again.
#pragma once

#include <cuda.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "kernels/cuda/tuning_choices.h"
#include "kernels/tuning.h"

namespace headrace::cuda {

// The ways in which a library can do one problem. Candidates are numbered as find() has found them.
class Candidates {
 public:
  virtual ~Candidates() = default;
  // Settles on a choice that was kept; false where the library does not take it (any more).
  virtual bool recall(const std::string& choice) = 0;
  // Finds candidates, the likeliest first; one that works will do unless `several`. Returns how many, at
  // least one. Errors: kUnsupported where there is none.
  virtual Result<size_t> find(bool several) = 0;
  // Adds candidates that are like the best so far; returns how many there are now. Called while there is
  // time, until it adds none.
  virtual size_t widen(size_t best) = 0;
  // What a run of any of them needs: operands and scratch.
  virtual Bytes memory() const = 0;
  // Puts one run on the stream, over the memory given. An error leaves the candidate out.
  virtual Status run(size_t candidate, std::byte* memory, CUstream stream) = 0;
  virtual void settle(size_t candidate) = 0;
  virtual std::string text(size_t candidate) const = 0;  // what recall() takes
};

// Times candidates on a device.
class CandidateTimer {
 public:
  virtual ~CandidateTimer() = default;
  // Gets memory for runs, until end(). Errors: kExhausted, kUnavailable.
  virtual Status begin(Bytes memory) = 0;
  // A candidate that is plainly slower than `best_ms` is not timed to the end.
  virtual Result<double> time_ms(Candidates& candidates, size_t candidate, double best_ms) = 0;
  virtual Status end() = 0;
};

struct TunerLimits {
  std::chrono::nanoseconds problem = std::chrono::milliseconds(600);  // of timing, for one problem
};

// How free a choice is.
enum class ChoiceMode : int {
  kDeterministic,  // the library's first guess, whatever was timed
  kKnown,          // as tuned before, else the first guess
  kTimed,          // as tuned before, else timed now
};

// Threads: any; one problem is timed at a time.
class Tuner {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  explicit Tuner(CandidateTimer& timer, TunerLimits limits = {}, Clock clock = std::chrono::steady_clock::now)
      : timer_(timer), limits_(limits), clock_(std::move(clock)) {}

  // Settles on one of the candidates for `problem`. REQUIRES: the device's context is current.
  // Errors: of Candidates::find().
  Result<TuningOutcome> choose(const std::string& problem, ChoiceMode mode, Candidates& candidates,
                               TuningChoices& choices, Tuning& tuning);

 private:
  // nullopt where a bound or the device forbids timing.
  std::optional<size_t> fastest(Candidates& candidates, size_t count, Tuning& tuning);
  std::optional<size_t> time_all(Candidates& candidates, size_t count);

  std::mutex mutex_;  // one problem is timed at a time
  CandidateTimer& timer_;
  const TunerLimits limits_;
  const Clock clock_;
};

}  // namespace headrace::cuda
