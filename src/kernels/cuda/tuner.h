// Tuner: picks the fastest of several ways to run a step by timing them on the device, inside bounds.
//
// Choices are text, kept by a key that says all of the problem, the device and the library's version; a
// problem is timed once in a process, and not again where its choice was read from a store.
#pragma once

#include <cuda.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "device/cuda/cuda_device.h"

namespace headrace::cuda {

// Threads: any.
class TuningChoices {
 public:
  std::optional<std::string> find(const std::string& key) const;
  void keep(const std::string& key, std::string choice);
  size_t size() const;

  // One line a choice: key, tab, choice; sorted. REQUIRES (of keep): neither holds a tab or a line's end.
  std::string text() const;
  // Adds what `text` holds. Errors: kCorrupt, nothing is added then.
  Status read(std::string_view text);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> choices_;
};

struct TuningLimits {
  std::chrono::milliseconds problem{150};   // of timing, for one problem
  std::chrono::milliseconds total{10'000};  // of timing, and of making what is timed
  Bytes memory = {int64_t{512} << 20};      // of operands made up for it
};

// Threads: one problem at a time; others wait.
class Tuner {
 public:
  Tuner(CudaDevice& device, TuningLimits limits) : device_(device), limits_(limits) {}
  ~Tuner();
  Tuner(const Tuner&) = delete;
  Tuner& operator=(const Tuner&) = delete;

  // Counts time that a caller took to make candidates.
  void charge(std::chrono::steady_clock::duration time);
  bool exhausted();  // no more is timed

  // Puts one run of a candidate on the stream, over the memory given. An error leaves the candidate out.
  using Run = std::function<Status(size_t candidate, std::byte* memory, CUstream stream)>;
  // The fastest of `count`; the first one, untimed, where a bound or the memory left forbids timing.
  // `memory`: what a run needs. REQUIRES: the device's context is current; count > 0.
  size_t fastest(size_t count, Bytes memory, const Run& run);

 private:
  Status start();
  Result<CUgraphExec> capture(size_t candidate, std::byte* memory, const Run& run);
  Result<double> time_ms(size_t candidate, std::byte* memory, const Run& run);
  Result<size_t> time_all(size_t count, Bytes memory, const Run& run);

  std::mutex mutex_;
  CudaDevice& device_;
  TuningLimits limits_;
  std::chrono::steady_clock::duration spent_{};
  CUstream stream_ = nullptr;
  CUevent before_ = nullptr, after_ = nullptr;
};

}  // namespace headrace::cuda
