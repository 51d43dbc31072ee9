#include "device/fake/fake_device.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"

namespace headrace::fake {
namespace {

class FakeQueue : public Queue {
 public:
  Status synchronize() override { return {}; }
};

}  // namespace

class FakeDevice::Reader : public FileReader {
 public:
  Reader(FakeDevice& device, int fd, Bytes size, std::string_view name, uint64_t seed)
      : device_(device), fd_(fd), size_(size), name_(name), random_(seed) {
    for (int i = 0; i < device.options_.reader_threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Reader() override {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Result<std::unique_ptr<ReadTicket>> start(Bytes offset, Bytes size, std::byte* out) override;
  bool direct() const override { return true; }
  std::string_view mechanism() const override { return "fake"; }

 private:
  struct Read {
    Bytes offset, size;
    std::byte* out;
    bool done = false;
    int64_t finished_ns = 0;
    Status status;
  };
  class Ticket;
  void work();
  Status do_read(const Read& read, int yields);
  Status finish(const Read& read);

  FakeDevice& device_;
  const int fd_;
  const Bytes size_;
  const std::string name_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::mt19937_64 random_;
  std::vector<Read*> queue_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

class FakeDevice::Reader::Ticket : public ReadTicket {
 public:
  Ticket(Reader& reader, Read read) : reader_(reader), read_(std::move(read)) {}
  ~Ticket() override { (void)reader_.finish(read_); }
  Status wait() override { return reader_.finish(read_); }
  int64_t finished_ns() const override { return read_.finished_ns; }
  Read& read() { return read_; }

 private:
  Reader& reader_;
  Read read_;
};

Result<std::unique_ptr<ReadTicket>> FakeDevice::Reader::start(Bytes offset, Bytes size, std::byte* out) {
  constexpr int64_t kAlign = kReadAlignment.count;
  if ((offset.count | size.count) % kAlign != 0 || reinterpret_cast<uintptr_t>(out) % kAlign != 0) {
    return internal_error("read of '{}' at {} is not aligned", name_, offset.count);
  }
  auto ticket = std::make_unique<Ticket>(*this, Read{offset, size, out, false, 0, {}});
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(&ticket->read());
  }
  changed_.notify_all();
  return std::unique_ptr<ReadTicket>(std::move(ticket));
}

void FakeDevice::Reader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const size_t pick = random_() % queue_.size();
    Read& read = *queue_[pick];
    queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(pick));
    const int yields = static_cast<int>(random_() % static_cast<uint64_t>(device_.options_.max_yields + 1));
    lock.unlock();
    Status status = do_read(read, yields);
    lock.lock();
    read.status = std::move(status);
    read.finished_ns = device_.now_ns();
    read.done = true;
    changed_.notify_all();
  }
}

Status FakeDevice::Reader::do_read(const Read& read, int yields) {
  for (int i = 0; i < yields; ++i) std::this_thread::yield();
  device_.advance(device_.options_.read_ns);
  const bool fails = device_.reads_++ >= device_.reads_to_fail_from_;
  if (device_.read_to_fail_.due() || fails) return unavailable("read '{}': the fake device failed", name_);
  const int64_t needed = std::min(read.size.count, size_.count - read.offset.count);
  for (int64_t done = 0; done < needed;) {
    const ssize_t got =
        pread(fd_, read.out + done, static_cast<size_t>(needed - done), read.offset.count + done);
    if (got < 0) return errno_status(errno, fmt::format("read '{}'", name_));
    if (got == 0) {
      return corrupt("read '{}': the file is shorter than when it was opened: it ends at {} of {} bytes",
                     name_, read.offset.count + done, size_.count);
    }
    done += got;
  }
  device_.bytes_read_ += read.size.count;
  return {};
}

Status FakeDevice::Reader::finish(const Read& read) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&read] { return read.done; });
  return read.status;
}

FakeDevice::FakeDevice(FakeOptions options) : options_(options), limit_(options.memory_limit.count) {}
FakeDevice::~FakeDevice() = default;

Result<std::unique_ptr<FileReader>> FakeDevice::open_reader(int fd, std::string_view name) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return errno_status(errno, fmt::format("look at '{}'", name));
  return std::unique_ptr<FileReader>(
      std::make_unique<Reader>(*this, fd, Bytes{info.st_size}, name, options_.seed + 7919 * readers_++));
}

std::unique_ptr<Queue> FakeDevice::make_queue() { return std::make_unique<FakeQueue>(); }

Bytes FakeDevice::available() const { return {std::max<int64_t>(0, limit_ - used().count)}; }

Result<std::byte*> FakeDevice::allocate_bytes(Bytes size, std::string_view what) {
  if (allocation_to_fail_.due())
    return exhausted("cannot allocate {} bytes for {}: the fake device failed", size.count, what);
  auto data = memory_.allocate(size, {limit_}, what);
  const int64_t now = memory_.used().count;
  int64_t peak = peak_;
  while (peak < now && !peak_.compare_exchange_weak(peak, now)) {
  }
  return data;
}

}  // namespace headrace::fake
