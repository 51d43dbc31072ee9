#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "core/error.h"
#include "core/units.h"
#include "device/cuda/cuda_file.h"

namespace headrace::cuda {
namespace {

constexpr int kSlots = 4;
constexpr Bytes kLargestSlot = mib(16);  // reaches the link's rate
constexpr Bytes kSmallestSlot = kib(64);

class MapSource final : public CopySource {
 public:
  MapSource(std::unique_ptr<PinnedMap> map, Bytes begin) : map_(std::move(map)), begin_(begin) {}
  Status copy(Bytes offset, Bytes size, std::byte* to, WorkQueue& queue) override {
    return map_->copy(begin_ + offset, size, to, queue);
  }
  bool capturable() const override { return true; }
  const std::byte* visible(Bytes offset) const override { return map_->visible(begin_ + offset); }
  Bytes host_bytes() const override { return map_->size(); }
  std::string_view mechanism() const override { return "registered map"; }

 private:
  const std::unique_ptr<PinnedMap> map_;
  const Bytes begin_;
};

// Pinned memory of slots; each is read into by the host and then copied from, one after another.
class RingSource final : public CopySource {
 public:
  RingSource(CudaDevice& device, int fd, Bytes begin, Bytes size, std::string_view name)
      : device_(device), fd_(fd), begin_(begin), size_(size), name_(name) {}
  ~RingSource() override {
    for (Slot& slot : slots_) {
      if (slot.used) (void)slot.copied->synchronize();
    }
    const CurrentContext current(device_);
    if (memory_) (void)device_.api().cuMemFreeHost(memory_);
  }
  Status open(Bytes slot_size, std::string_view why);
  Status copy(Bytes offset, Bytes size, std::byte* to, WorkQueue& queue) override;
  bool capturable() const override { return false; }
  const std::byte* visible(Bytes) const override { return nullptr; }
  Bytes host_bytes() const override { return slot_size_ * kSlots; }
  std::string_view mechanism() const override { return mechanism_; }

 private:
  struct Slot {
    std::byte* data = nullptr;
    std::unique_ptr<Event> copied;
    bool used = false;
  };
  Status read(Bytes offset, Bytes size, std::byte* out) const;

  CudaDevice& device_;
  const int fd_;
  const Bytes begin_, size_;
  const std::string name_;
  std::string mechanism_;
  void* memory_ = nullptr;
  Bytes slot_size_;
  std::vector<Slot> slots_;
  size_t next_ = 0;
  std::mutex mutex_;  // guards the two above
};

Status RingSource::open(Bytes slot_size, std::string_view why) {
  slot_size_ = slot_size;
  mechanism_ = fmt::format("pinned ring of {}{}{}{}", to_text(slot_size * kSlots), why.empty() ? "" : " (",
                           why, why.empty() ? "" : ")");
  const CurrentContext current(device_);
  const Bytes whole = slot_size * kSlots;
  HR_TRY(check(device_.api().cuMemAllocHost(&memory_, static_cast<size_t>(whole.count)),
               fmt::format("pin {} of host memory to copy '{}' through", to_text(whole), name_)));
  for (int i = 0; i < kSlots; ++i) {
    HR_ASSIGN(auto copied, device_.make_event());
    slots_.push_back({static_cast<std::byte*>(memory_) + slot_size.count * i, std::move(copied)});
  }
  return {};
}

Status RingSource::read(Bytes offset, Bytes size, std::byte* out) const {
  for (int64_t done = 0; done < size.count;) {
    const ssize_t got = pread(fd_, out + done, static_cast<size_t>(size.count - done), offset.count + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_status(errno, fmt::format("read '{}'", name_));
    if (got == 0) {
      // Weights end where the file goes on, or at its last page.
      HR_TRY(checked_size(fd_, offset + size, name_).status());
      std::memset(out + done, 0, static_cast<size_t>(size.count - done));
      break;
    }
    done += got;
  }
  return {};
}

Status RingSource::copy(Bytes offset, Bytes size, std::byte* to, WorkQueue& queue) {
  if (offset.count < 0 || size.count < 0 || offset > size_ || size > size_ - offset) {
    return internal_error("copy of [{}, {}) from a source of {} bytes", offset.count,
                          offset.count + size.count, size_.count);
  }
  {
    const CurrentContext current(device_);
    CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_NONE;
    HR_TRY(check(device_.api().cuStreamIsCapturing(static_cast<CudaQueue&>(queue).stream(), &capture),
                 "ask whether a stream captures"));
    if (capture != CU_STREAM_CAPTURE_STATUS_NONE) {
      return internal_error("a copy of '{}' through a pinned ring cannot be captured", name_);
    }
  }
  const std::lock_guard lock(mutex_);  // the slots are everybody's
  for (Bytes at; at < size; at += slot_size_) {
    Slot& slot = slots_[next_];
    next_ = (next_ + 1) % slots_.size();
    if (std::exchange(slot.used, false)) HR_TRY(slot.copied->synchronize());
    const Bytes count = std::min(slot_size_, size - at);
    HR_TRY(read(begin_ + offset + at, count, slot.data));
    HR_TRY(queue.copy(to + at.count, slot.data, count));
    if (Status status = queue.record(*slot.copied); !status.ok()) {
      (void)queue.synchronize();  // nobody could tell when the slot is free again
      return status;
    }
    slot.used = true;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<CopySource>> open_ring_source(CudaDevice& device, int fd, Bytes begin, Bytes size,
                                                     Bytes host_limit, std::string_view name,
                                                     std::string_view why) {
  constexpr int64_t kPage = kReadAlignment.count;
  HR_TRY(checked_size(fd, begin + size, name).status());
  if (host_limit < kSmallestSlot * kSlots) {
    return exhausted("cannot pin {} of host memory to copy '{}' through: {} are allowed",
                     to_text(kSmallestSlot * kSlots), name, to_text(host_limit));
  }
  const Bytes needed = {std::max(kSmallestSlot.count, (size.count / kSlots / kPage + 1) * kPage)};
  const Bytes allowed = {host_limit.count / kSlots / kPage * kPage};
  const Bytes whole = {(size.count + kPage - 1) / kPage * kPage};  // the last copy may pass the end
  auto source = std::make_unique<RingSource>(device, fd, begin, whole, name);
  HR_TRY(source->open(std::min({kLargestSlot, needed, allowed}), why));
  return std::unique_ptr<CopySource>(std::move(source));
}

Result<std::unique_ptr<CopySource>> open_file_source(CudaDevice& device, int fd, Bytes begin, Bytes size,
                                                     Bytes host_limit, std::string_view name) {
  HR_TRY(checked_size(fd, begin + size, name).status());
  if (size + kReadAlignment * 2 > host_limit) {
    return open_ring_source(device, fd, begin, size, host_limit, name,
                            fmt::format("{} are allowed to be pinned", to_text(host_limit)));
  }
  auto map = PinnedMap::open(device, fd, begin, size, name);
  if (!map.ok()) return open_ring_source(device, fd, begin, size, host_limit, name, map.status().message());
  return std::unique_ptr<CopySource>(std::make_unique<MapSource>(*std::move(map), begin));
}

}  // namespace headrace::cuda
