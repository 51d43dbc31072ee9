// MemorySampler: the largest growth of this process's anonymous memory while it lives, as the kernel counts
// it.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <headrace/bytes.h>
#include "core/host.h"

namespace headrace::app {

class MemorySampler {
 public:
  MemorySampler() : start_(process_anonymous()), thread_([this] { run(); }) {}
  ~MemorySampler() { stop(); }
  MemorySampler(const MemorySampler&) = delete;
  MemorySampler& operator=(const MemorySampler&) = delete;

  Bytes stop() {  // the growth; the sampling ends
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
    return growth_;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    do {
      growth_ = std::max(growth_, process_anonymous() - start_);
    } while (!wake_.wait_for(lock, std::chrono::milliseconds(5), [this] { return stopped_; }));
  }

  const Bytes start_;
  Bytes growth_;
  bool stopped_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::thread thread_;  // last: it starts when the rest is there
};

}  // namespace headrace::app
