#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/units.h"
#include "device/cuda/cuda_file.h"

namespace headrace::cuda {
namespace {

// Small enough that pinning the next window passes beside the copies from the one before.
constexpr Bytes kWindow = mib(256);
constexpr Bytes kRing = mib(64);

// Copies from the file to the device on a stream of its own. Pins what it reads, a window at a time, and
// holds nothing while no read is under way.
class DeviceReader final : public FileReader {
 public:
  DeviceReader(CudaDevice& device, int fd, std::string_view name, std::unique_ptr<WorkQueue> queue)
      : device_(device), fd_(fd), name_(name), queue_(std::move(queue)) {}
  Result<std::unique_ptr<ReadTicket>> start(Bytes offset, Bytes size, std::byte* out) override;
  bool direct() const override { return false; }
  std::string_view mechanism() const override { return refused_.empty() ? "registered map" : "pinned ring"; }

 private:
  class Ticket;
  Status copy(Bytes offset, Bytes size, std::byte* out, Ticket& ticket);
  Status copy_by_ring(Bytes offset, Bytes size, std::byte* out);
  void end_read();

  CudaDevice& device_;
  const int fd_;
  const std::string name_;
  std::unique_ptr<WorkQueue> queue_;
  std::shared_ptr<PinnedMap> window_;  // the latest
  std::unique_ptr<CopySource> ring_;   // where the driver refuses to pin the file
  std::string refused_;
  int reads_ = 0;  // under way
};

class DeviceReader::Ticket final : public ReadTicket {
 public:
  Ticket(DeviceReader& reader, std::unique_ptr<Event> done) : reader_(reader), done_(std::move(done)) {
    ++reader_.reads_;
  }
  ~Ticket() override {
    // Never before the copies are over, also those of a start that failed half-way: they use the windows.
    (void)(recorded_ ? done_->synchronize() : reader_.queue_->synchronize());
    windows_.clear();
    reader_.end_read();
  }
  Status wait() override {
    return done_->synchronize().with_context(fmt::format("read '{}'", reader_.name_));
  }
  Status record() {
    HR_TRY(reader_.queue_->record(*done_));
    recorded_ = true;
    return {};
  }
  void keep(std::shared_ptr<PinnedMap> window) { windows_.push_back(std::move(window)); }

 private:
  DeviceReader& reader_;
  std::unique_ptr<Event> done_;
  bool recorded_ = false;
  std::vector<std::shared_ptr<PinnedMap>> windows_;
};

Result<std::unique_ptr<ReadTicket>> DeviceReader::start(Bytes offset, Bytes size, std::byte* out) {
  if (offset.count < 0 || size.count < 0 || (offset.count | size.count) % kReadAlignment.count != 0) {
    return internal_error("read of '{}': offset {} and size {} must be multiples of {}", name_, offset.count,
                          size.count, kReadAlignment.count);
  }
  HR_TRY(checked_size(fd_, offset + size, name_).status());
  HR_ASSIGN(auto done, device_.make_event());
  auto ticket = std::make_unique<Ticket>(*this, std::move(done));
  HR_TRY(copy(offset, size, out, *ticket));
  HR_TRY(ticket->record());
  return std::unique_ptr<ReadTicket>(std::move(ticket));
}

Status DeviceReader::copy(Bytes offset, Bytes size, std::byte* out, Ticket& ticket) {
  const Bytes end = offset + size;
  while (offset < end) {
    const Bytes window_begin = {offset.count / kWindow.count * kWindow.count};
    const Bytes count = std::min(end, window_begin + kWindow) - offset;
    if (refused_.empty() && (!window_ || offset < window_->begin() || offset + count > window_->end())) {
      HR_ASSIGN(const Bytes file, checked_size(fd_, end, name_));
      auto opened =
          PinnedMap::open(device_, fd_, window_begin, std::min(kWindow, file - window_begin), name_);
      if (opened.ok()) {
        window_ = *std::move(opened);
      } else {
        refused_ = opened.status().message();
      }
    }
    if (refused_.empty()) {
      ticket.keep(window_);
      HR_TRY(window_->copy(offset, count, out, *queue_));
    } else {
      HR_TRY(copy_by_ring(offset, count, out));
    }
    out += count.count;
    offset += count;
  }
  return {};
}

Status DeviceReader::copy_by_ring(Bytes offset, Bytes size, std::byte* out) {
  if (!ring_) {
    HR_ASSIGN(const Bytes file, checked_size(fd_, {}, name_));
    HR_ASSIGN(ring_, open_ring_source(device_, fd_, {}, file, kRing, name_, refused_));
  }
  return ring_->copy(offset, size, out, *queue_);
}

void DeviceReader::end_read() {
  if (--reads_ > 0) return;
  window_.reset();
  ring_.reset();
}

}  // namespace

Result<std::unique_ptr<FileReader>> open_file_reader(CudaDevice& device, int fd, std::string_view name) {
  HR_TRY(checked_size(fd, {}, name).status());
  HR_ASSIGN(auto queue, device.make_work_queue());
  return std::unique_ptr<FileReader>(std::make_unique<DeviceReader>(device, fd, name, std::move(queue)));
}

}  // namespace headrace::cuda
