// RunGate: many runs at once, or one change.
//
// A change that waits goes before the runs that come after it: contexts that run without a pause must not
// hold a budget change off for ever, as readers of a shared mutex may.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace headrace::runtime {

class RunGate {
 public:
  class Run {  // holds the gate open
   public:
    explicit Run(RunGate& gate) : gate_(gate), outer_(innermost_) {
      gate_.enter(gate_.is_held_here());
      innermost_ = this;
    }
    ~Run() {
      innermost_ = outer_;
      gate_.leave();
    }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

   private:
    friend class RunGate;
    static inline thread_local Run* innermost_ = nullptr;
    RunGate& gate_;
    Run* outer_;  // of this thread: a progress callback may run another context
  };
  // True inside a run of this thread: a change would wait for itself.
  bool is_held_here() const {
    const Run* run = Run::innermost_;
    while (run && &run->gate_ != this) run = run->outer_;
    return run != nullptr;
  }

  class Change {  // no run is under way while it lives. Changes must not overlap.
   public:
    explicit Change(RunGate& gate) : gate_(gate), closed_(true) { gate_.close(); }
    // Waits no longer than that; zero: not at all.
    Change(RunGate& gate, std::chrono::nanoseconds most) : gate_(gate), closed_(gate_.close_within(most)) {}
    ~Change() {
      if (closed_) gate_.open();
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    bool closed() const { return closed_; }  // false: runs went on for longer, and go on

   private:
    RunGate& gate_;
    const bool closed_;
  };

 private:
  void enter(bool again) {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [&] { return again || !closed_; });
    ++runs_;
  }
  void leave() {
    std::lock_guard lock(mutex_);
    if (--runs_ == 0 && closed_) emptied_.notify_all();
  }
  void close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    emptied_.wait(lock, [this] { return runs_ == 0; });
  }
  bool close_within(std::chrono::nanoseconds most) {
    std::unique_lock lock(mutex_);
    closed_ = true;
    const auto until = std::chrono::steady_clock::now() + most;
    if (runs_ > 0 && most.count() > 0) emptied_.wait_until(lock, until, [this] { return runs_ == 0; });
    if (runs_ == 0) return true;
    closed_ = false;
    opened_.notify_all();
    return false;
  }
  void open() {
    std::lock_guard lock(mutex_);
    closed_ = false;
    opened_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable opened_, emptied_;
  int runs_ = 0;
  bool closed_ = false;
};

}  // namespace headrace::runtime
