#include "runtime/pool.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace headrace::runtime {

PoolMemory::Share::Share(PoolMemory& memory) : memory_(memory) {
  const std::lock_guard lock(memory_.mutex_);
  memory_.shares_.push_back(this);
}

PoolMemory::Share::~Share() {
  (void)resize({});
  const std::lock_guard lock(memory_.mutex_);
  std::erase(memory_.shares_, this);
}

Status PoolMemory::Share::resize(Bytes size) {
  const std::lock_guard lock(memory_.mutex_);
  Bytes most = size;
  for (const Share* share : memory_.shares_) {
    if (share != this) most = std::max(most, share->size_);
  }
  if (size < size_) {
    size_ = size;
    // What was lost as somebody's growth failed is for those who need it to bring back.
    return most < memory_.memory_->size() ? memory_.memory_->resize(most) : Status();
  }
  HR_TRY(memory_.memory_->resize(most));
  size_ = size;
  return {};
}

std::byte* PoolMemory::data() const {
  const std::lock_guard lock(mutex_);
  return memory_ ? memory_->data() : nullptr;
}

Bytes PoolMemory::size() const {
  const std::lock_guard lock(mutex_);
  return memory_ ? memory_->size() : Bytes{};
}

Status Pool::bind(std::shared_ptr<Device> device) {
  const std::lock_guard lock(mutex_);
  if (device_) {
    // Every engine has a device of its own where that is the host, whose memory is one.
    if (device_ == device || (!device_->queued() && !device->queued())) return {};
    return invalid_argument("this pool's memory is on another device than the engine; make a pool for each");
  }
  arena_.memory_ = device->make_growable("the arena");
  scratch_.memory_ = device->make_growable("the scratch of streamed weights");
  device_ = std::move(device);
  return {};
}

Status Pool::Use::status() const {
  if (taken_) return {};
  return invalid_argument(
      "another context of this pool is running; contexts that run at the same time need a pool each");
}

Status Pool::follow(const void* user, WorkQueue& queue) {
  const std::lock_guard lock(mutex_);
  if (!finished_) {
    HR_ASSIGN(finished_, device_->queued()->make_event());
  }
  if (!under_way_ || latest_ == user) return {};
  return queue.wait(*finished_);
}

Status Pool::note_end(const void* user, WorkQueue& queue) {
  const std::lock_guard lock(mutex_);
  HR_TRY(queue.record(*finished_));
  latest_ = user;
  under_way_ = true;
  return {};
}

Status Pool::settle() {
  const std::lock_guard lock(mutex_);
  if (under_way_) HR_TRY(finished_->synchronize());
  under_way_ = false;
  return {};
}

}  // namespace headrace::runtime
