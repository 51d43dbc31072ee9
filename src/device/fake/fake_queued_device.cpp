#include "device/fake/fake_queued_device.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/units.h"
#include "device/fake/fake_stream.h"

namespace headrace::fake {
namespace {

constexpr Bytes kKeepFreed = mib(64);
constexpr int kFreedByte = 0xdb;

}  // namespace

FakeQueuedDevice::FakeQueuedDevice(FakeQueuedOptions options)
    : options_(options),
      limit_(options.memory_limit.count),
      schedule_(options.seed, options.eager, [this](const Work& work) { return check(work); }),
      default_line_(schedule_.add_line()) {}

FakeQueuedDevice::~FakeQueuedDevice() {
  schedule_.remove_line(default_line_);
  for (const auto& [data, size] : freed_) memory_.free(data, size);
}

Status FakeQueuedDevice::call(std::string_view what) {
  HR_TRY(schedule_.failure());
  if (call_to_fail_.due()) return unavailable("{}: the fake device failed", what);
  return {};
}

Status FakeQueuedDevice::mistake(Status what) {
  schedule_.fail(what);
  return what;
}

Status FakeQueuedDevice::check(const Work& work) {
  clock_ns_ += options_.work_ns;
  if (work.to) {
    if (copy_to_fail_.due()) return unavailable("{}: the fake device failed", work.what);
    copies_ += 1;
    bytes_copied_ += work.size.count;
    HR_TRY(check_range(work, work.to, work.size));
    HR_TRY(check_range(work, work.from, work.size));
  }
  for (const std::span<const std::byte> use : work.uses) {
    HR_TRY(check_range(work, use.data(), {static_cast<int64_t>(use.size())}));
  }
  return {};
}

Status FakeQueuedDevice::check_range(const Work& work, const std::byte* data, Bytes size) const {
  const std::lock_guard lock(mutex_);
  if (auto next = ranges_.lower_bound(data + size.count); next != ranges_.begin()) {
    const auto& [begin, range] = *std::prev(next);
    if (data < begin + range.reserved.count &&
        (data < begin || data + size.count > begin + range.mapped.count)) {
      return internal_error("{}: touches reserved addresses where there is no memory", work.what);
    }
  }
  // The last run of memory that begins before the range's end is the only one that can hold its begin.
  if (auto next = freed_.lower_bound(const_cast<std::byte*>(data) + size.count); next != freed_.begin()) {
    const auto& [begin, count] = *std::prev(next);
    if (data < begin + count.count) return internal_error("{}: touches memory that was freed", work.what);
  }
  if (auto next = alive_.lower_bound(data + size.count); next != alive_.begin()) {
    const auto& [begin, count] = *std::prev(next);
    if (data < begin + count.count && (data < begin || data + size.count > begin + count.count)) {
      return internal_error("{}: goes past an end of the memory that it touches", work.what);
    }
  }
  return {};
}

Status FakeQueuedDevice::read(int fd, Bytes offset, Bytes size, std::byte* out, std::string_view name) {
  if (read_to_fail_.due()) return unavailable("read '{}': the fake device failed", name);
  struct stat info = {};
  if (fstat(fd, &info) != 0) return errno_status(errno, fmt::format("look at '{}'", name));
  const int64_t needed = std::min(size.count, info.st_size - offset.count);
  if (needed <= size.count - kReadAlignment.count) {
    return corrupt("read '{}': the file is shorter than when it was opened: it ends at {} of {} bytes", name,
                   info.st_size, (offset + size).count);
  }
  for (int64_t done = 0; done < needed;) {
    const ssize_t got = pread(fd, out + done, static_cast<size_t>(needed - done), offset.count + done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return errno_status(got < 0 ? errno : EIO, fmt::format("read '{}'", name));
    done += got;
  }
  std::memset(out + std::max<int64_t>(0, needed), 0,
              static_cast<size_t>(size.count - std::max<int64_t>(0, needed)));
  return {};
}

Result<std::unique_ptr<FileReader>> FakeQueuedDevice::open_reader(int fd, std::string_view name) {
  return open_fake_reader(*this, fd, name);
}

std::unique_ptr<Queue> FakeQueuedDevice::make_queue() {
  return std::make_unique<FakeStream>(*this, schedule_.add_line(), FakeStream::Owned::yes);
}

Result<std::unique_ptr<WorkQueue>> FakeQueuedDevice::make_work_queue() {
  HR_TRY(call("make a queue"));
  return std::unique_ptr<WorkQueue>(
      std::make_unique<FakeStream>(*this, schedule_.add_line(), FakeStream::Owned::yes));
}

Result<std::unique_ptr<WorkQueue>> FakeQueuedDevice::borrow_queue(void* stream) {
  const FakeSchedule::Line line =
      stream ? static_cast<FakeStream*>(static_cast<WorkQueue*>(stream))->line() : default_line_;
  return std::unique_ptr<WorkQueue>(std::make_unique<FakeStream>(*this, line, FakeStream::Owned::no));
}

Result<std::unique_ptr<Event>> FakeQueuedDevice::make_event() {
  HR_TRY(call("make an event"));
  return std::unique_ptr<Event>(std::make_unique<FakeEvent>(*this, false));
}

Result<std::unique_ptr<Event>> FakeQueuedDevice::make_timed_event() {
  HR_TRY(call("make an event"));
  return std::unique_ptr<Event>(std::make_unique<FakeEvent>(*this, true));
}

Result<std::unique_ptr<CopySource>> FakeQueuedDevice::open_source(int fd, Bytes begin, Bytes size,
                                                                  Bytes host_limit, std::string_view name) {
  return open_fake_source(*this, fd, begin, size, options_.pins_files && size <= host_limit, options_.ring,
                          name);
}

bool FakeQueuedDevice::owns(const void* data) const {
  const std::lock_guard lock(mutex_);
  const auto* at = static_cast<const std::byte*>(data);
  const auto range = ranges_.upper_bound(at);
  if (range != ranges_.begin() && at < std::prev(range)->first + std::prev(range)->second.mapped.count) {
    return true;
  }
  const auto next = alive_.upper_bound(at);
  return next != alive_.begin() && at < std::prev(next)->first + std::prev(next)->second.count;
}

Bytes FakeQueuedDevice::available() const { return {std::max<int64_t>(0, limit_ - used_)}; }

Status FakeQueuedDevice::count(Bytes size, std::string_view what) {
  if (allocation_to_fail_.due()) {
    return exhausted("cannot allocate {} bytes for {}: the fake device failed", size.count, what);
  }
  const int64_t before = used_.fetch_add(size.count);
  if (size.count > limit_ - before) {
    used_ -= size.count;
    return exhausted("cannot allocate {} for {}: {} in use, {} at most", to_text(size), what,
                     to_text(Bytes{before}), to_text(Bytes{limit_}));
  }
  const int64_t now = before + size.count;
  int64_t peak = peak_;
  while (peak < now && !peak_.compare_exchange_weak(peak, now)) {
  }
  return {};
}

Result<std::byte*> FakeQueuedDevice::allocate_bytes(Bytes size, std::string_view what) {
  HR_TRY(count(size, what));
  auto data = memory_.allocate(size, {INT64_MAX}, what);
  if (!data.ok()) {
    used_ -= size.count;
    return data;
  }
  std::memset(*data, kFreedByte, static_cast<size_t>(size.count));  // a GPU clears nothing
  const std::lock_guard lock(mutex_);
  alive_[*data] = size;
  return data;
}

void FakeQueuedDevice::free_bytes(std::byte* data, Bytes size) {
  std::memset(data, kFreedByte, static_cast<size_t>(size.count));
  const bool pending = schedule_.pending(data, size);
  const std::lock_guard lock(mutex_);
  used_ -= size.count;
  alive_.erase(data);
  Bytes kept;
  for (const auto& [freed, count] : freed_) kept += count;
  if (pending || kept + size < kKeepFreed) {
    freed_[data] = size;
  } else {
    memory_.free(data, size);
  }
}

}  // namespace headrace::fake
