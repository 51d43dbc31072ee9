// Pool: the arena and the scratch of contexts that never run at once. Each is as large as the context needs
// that needs most.
//
// A context has a pool of its own unless it is given one, which others may have too: contexts of one engine
// or of several, of one device. Where the device reserves addresses, memory grows where it is, and runs that
// were captured before stay as they are.
//
// Threads: all methods may be called by several. What its memory is used for does not overlap: see Use.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "device/queued_device.h"

namespace headrace::runtime {

// One of a pool's two memories.
class PoolMemory {
 public:
  // What one context needs of it, and no longer when it dies. Grows only while the context holds the pool:
  // where the device reserves no addresses, the memory is another one then, for all. REQUIRES: the pool has a
  // device.
  class Share {
   public:
    explicit Share(PoolMemory& memory);
    ~Share();
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // REQUIRES: work that is not over uses none of the bytes that only this share needs. Errors: kExhausted,
    // with the share as it was; less never fails.
    Status resize(Bytes size);
    Bytes size() const { return size_; }
    std::byte* data() const { return memory_.data(); }
    // Whether the memory has what this share needs; not where somebody's growth failed on a device that
    // reserves no addresses.
    bool is_there() const { return memory_.size() >= size_; }

   private:
    friend class PoolMemory;
    PoolMemory& memory_;
    Bytes size_;  // changes under the memory's mutex
  };

  std::byte* data() const;
  Bytes size() const;  // as the device counts

 private:
  friend class Pool;
  mutable std::mutex mutex_;  // guards the two below
  std::unique_ptr<GrowableMemory> memory_;
  std::vector<const Share*> shares_;
};

class Pool {
 public:
  // The device of the first context is the pool's from then on. Errors: kInvalidArgument: it is another one.
  Status bind(std::shared_ptr<Device> device);
  const Device* device() const { return device_.get(); }  // REQUIRES: the caller has bound it

  PoolMemory& arena() { return arena_; }
  PoolMemory& scratch() { return scratch_; }

  // Holds the pool for a run, or says that another one does.
  class Use {
   public:
    explicit Use(Pool& pool) : pool_(pool), taken_(!pool.used_.exchange(true)) {}
    ~Use() {
      if (taken_) pool_.used_ = false;
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    Status status() const;

   private:
    Pool& pool_;
    const bool taken_;
  };

  // For runs on a queued device, which may be over later than their calls.
  // What `queue` is given from now on comes after the runs of others than `user`.
  Status follow(const void* user, WorkQueue& queue);
  // The run of `user` is over where `queue` has done what it was given so far.
  Status note_end(const void* user, WorkQueue& queue);
  Status settle();  // waits for the runs that are not over

 private:
  std::mutex mutex_;                 // guards the next four, not the memories
  std::shared_ptr<Device> device_;   // set once; before all that is made of it
  std::unique_ptr<Event> finished_;  // the latest run
  const void* latest_ = nullptr;     // its user
  bool under_way_ = false;
  PoolMemory arena_, scratch_;
  std::atomic<bool> used_ = false;
};

}  // namespace headrace::runtime
