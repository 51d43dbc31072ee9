#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/units.h"
#include "device/fake/fake_stream.h"

namespace headrace::fake {
namespace {

constexpr size_t kSlots = 2;

}  // namespace

// Of a copy of the file's bytes that stands for pinned pages, or of a ring that copy() reads into.
class FakeSource final : public CopySource {
 public:
  FakeSource(FakeQueuedDevice& device, int fd, Bytes begin, Bytes size, std::string_view name)
      : device_(device), fd_(fd), begin_(begin), size_(size), name_(name) {}
  ~FakeSource() override { *open_ = false; }
  Status pin() {
    pages_ = std::make_shared<std::vector<Page>>(static_cast<size_t>(size_.count / sizeof(Page)));
    return device_.read(fd_, begin_, size_, data(), name_);
  }
  void make_ring(Bytes size) { slot_ = {size.count / static_cast<int64_t>(kSlots)}; }

  Status copy(Bytes offset, Bytes size, std::byte* to, WorkQueue& queue) override;
  bool capturable() const override { return pages_ != nullptr; }
  const std::byte* visible(Bytes offset) const override {
    return pages_ && offset.count >= 0 && offset < size_ ? data() + offset.count : nullptr;
  }
  Bytes host_bytes() const override { return pages_ ? size_ : slot_ * static_cast<int64_t>(kSlots); }
  std::string_view mechanism() const override { return pages_ ? "registered map" : "pinned ring"; }

 private:
  struct alignas(4096) Page {
    std::byte bytes[4096];
  };
  struct Slot {
    std::shared_ptr<std::vector<std::byte>> data;
    std::shared_ptr<Point> copied;
  };
  std::byte* data() const { return pages_->empty() ? nullptr : pages_->front().bytes; }
  std::function<Status()> stays_open() const {
    return [open = open_, name = name_]() -> Status {
      return *open ? Status() : internal_error("copy from '{}': the source was closed before", name);
    };
  }
  Status copy_by_ring(Bytes offset, Bytes size, std::byte* to, FakeStream& queue);

  FakeQueuedDevice& device_;
  const int fd_;
  const Bytes begin_, size_;
  const std::string name_;
  std::shared_ptr<std::atomic<bool>> open_ = std::make_shared<std::atomic<bool>>(true);
  std::shared_ptr<std::vector<Page>> pages_;
  Bytes slot_;
  std::vector<Slot> slots_ = std::vector<Slot>(kSlots);
  size_t next_ = 0;
  std::mutex mutex_;  // guards the two above
};

Status FakeSource::copy(Bytes offset, Bytes size, std::byte* to, WorkQueue& queue) {
  if (offset.count % kReadAlignment.count != 0 || offset.count < 0 || size.count < 0 || offset > size_ ||
      size > size_ - offset) {
    return device_.mistake(internal_error("copy of [{}, {}) from a source of {} bytes", offset.count,
                                          offset.count + size.count, size_.count));
  }
  auto& stream = static_cast<FakeStream&>(queue);
  if (!pages_) return copy_by_ring(offset, size, to, stream);
  if (size.count == 0) return {};
  // The pages live on with the work, so that a closed source is told and not read.
  auto check = [stays = stays_open(), pages = pages_] { return stays(); };
  return stream.add({"copy from a file", check, to, data() + offset.count, size, {}});
}

Status FakeSource::copy_by_ring(Bytes offset, Bytes size, std::byte* to, FakeStream& queue) {
  if (queue.capturing()) {
    return device_.mistake(internal_error("a copy of '{}' through a pinned ring cannot be captured", name_));
  }
  const std::lock_guard lock(mutex_);  // the slots are everybody's
  for (Bytes at; at < size; at += slot_) {
    Slot& slot = slots_[next_];
    next_ = (next_ + 1) % kSlots;
    if (slot.copied) HR_TRY(device_.schedule_.reach(*slot.copied));
    const Bytes count = std::min(slot_, size - at);
    slot.data = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(count.count));
    HR_TRY(device_.read(fd_, begin_ + offset + at, count, slot.data->data(), name_));
    auto check = [stays = stays_open(), data = slot.data] { return stays(); };
    HR_TRY(queue.add({"copy from a ring", check, to + at.count, slot.data->data(), count, {}}));
    auto copied = std::make_shared<Point>();
    HR_TRY(device_.schedule_.add_record(queue.line(), copied));
    slot.copied = std::move(copied);
  }
  return {};
}

class FakeFileReader final : public FileReader {
 public:
  FakeFileReader(FakeQueuedDevice& device, int fd, std::string_view name)
      : device_(device), fd_(fd), name_(name), line_(device.schedule_.add_line()) {}
  ~FakeFileReader() override { device_.schedule_.remove_line(line_); }
  Result<std::unique_ptr<ReadTicket>> start(Bytes offset, Bytes size, std::byte* out) override;
  bool direct() const override { return false; }
  std::string_view mechanism() const override { return "registered map"; }

 private:
  struct Read {
    Status status;
    std::shared_ptr<Point> done = std::make_shared<Point>();
  };
  class Ticket final : public ReadTicket {
   public:
    Ticket(FakeFileReader& reader, std::shared_ptr<Read> read) : reader_(reader), read_(std::move(read)) {}
    ~Ticket() override { (void)wait(); }
    Status wait() override {
      HR_TRY(reader_.device_.schedule_.reach(*read_->done));
      return read_->status;
    }

   private:
    FakeFileReader& reader_;
    const std::shared_ptr<Read> read_;
  };

  FakeQueuedDevice& device_;
  const int fd_;
  const std::string name_;
  const FakeSchedule::Line line_;
};

Result<std::unique_ptr<ReadTicket>> FakeFileReader::start(Bytes offset, Bytes size, std::byte* out) {
  if (offset.count < 0 || size.count < 0 || (offset.count | size.count) % kReadAlignment.count != 0) {
    return internal_error("read of '{}': offset {} and size {} must be multiples of {}", name_, offset.count,
                          size.count, kReadAlignment.count);
  }
  auto read = std::make_shared<Read>();
  Work work;
  work.what = "read into the device";
  work.run = [this, read, offset, size, out]() -> Status {
    read->status = device_.read(fd_, offset, size, out, name_);
    return {};
  };
  work.uses = {{out, static_cast<size_t>(size.count)}};
  HR_TRY(device_.schedule_.add_work(line_, std::move(work)));
  HR_TRY(device_.schedule_.add_record(line_, read->done));
  return std::unique_ptr<ReadTicket>(std::make_unique<Ticket>(*this, std::move(read)));
}

Result<std::unique_ptr<CopySource>> open_fake_source(FakeQueuedDevice& device, int fd, Bytes begin,
                                                     Bytes size, bool pinned, Bytes ring,
                                                     std::string_view name) {
  constexpr int64_t kPage = kReadAlignment.count;
  const Bytes whole = {(size.count + kPage - 1) / kPage * kPage};  // the last copy may pass the end
  auto source = std::make_unique<FakeSource>(device, fd, begin, whole, name);
  if (pinned) {
    HR_TRY(source->pin());
  } else {
    source->make_ring(ring);
  }
  return std::unique_ptr<CopySource>(std::move(source));
}

std::unique_ptr<FileReader> open_fake_reader(FakeQueuedDevice& device, int fd, std::string_view name) {
  return std::make_unique<FakeFileReader>(device, fd, name);
}

}  // namespace headrace::fake
