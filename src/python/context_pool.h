// ContextPool: contexts of one engine, so that calls from several threads run at the same time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <headrace/headrace.h>

namespace headrace::python {

// A context is made when all others are busy, up to a few, and kept; all share the engine's resident weights.
// Under a memory limit, which is for all that the engine holds, in a pool that is shared with other engines,
// and while a trace is taken, there is one, and calls follow each other.
//
// Threads: all methods may be called by several; none with the GIL held, for they may wait.
class ContextPool {
 public:
  struct Slot {
    Context context;
    std::optional<uintptr_t> stream;  // the one that the context has, on a GPU
  };
  // A context for one run; goes back when the lease ends.
  class Lease {
   public:
    Lease(ContextPool& pool, Slot& slot) : pool_(&pool), slot_(&slot) {}
    Lease(Lease&& other) noexcept : pool_(other.pool_), slot_(std::exchange(other.slot_, nullptr)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (slot_) pool_->give_back(*slot_);
    }
    Slot& operator*() const { return *slot_; }

   private:
    friend class ContextPool;
    ContextPool* pool_;
    Slot* slot_;
  };

  ContextPool(Engine engine, const ContextOptions& options, Context first);

  // Waits where all contexts are busy and no more may be made. Errors: those of making one.
  Result<Lease> take();
  // Gives a context up for good, and makes no more than are left: where memory does not suffice for so many.
  // False where it is the only one.
  bool retire(Lease lease);

  // These wait for runs, and make an end of contexts but one.
  Status set_memory_limit(std::optional<Bytes> limit);
  void start_trace();
  Status write_trace(const std::filesystem::path& path);

  // What all contexts hold, and the last run of any. Waits for nothing.
  MemoryReport memory() const;
  // One of them, for what does not depend on runs.
  Context any() const;

 private:
  void give_back(Slot& slot);
  size_t most() const { return traced_ || options_.memory_limit || options_.pool ? 1 : most_; }
  // The only context, once all others have gone. REQUIRES: `lock` holds the mutex.
  Context& alone(std::unique_lock<std::mutex>& lock);

  const Engine engine_;
  mutable std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  ContextOptions options_;
  size_t most_;
  bool traced_ = false;
  int alone_ = 0;  // calls that wait for runs to end; new runs wait for them
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> free_;  // the last used last
  const Slot* last_used_ = nullptr;
};

}  // namespace headrace::python
