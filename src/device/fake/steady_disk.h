// SteadyDisk: a FakeDevice whose disk takes its time by the clock, for tests of plans that go by it.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "device/fake/fake_device.h"

namespace headrace::fake {

// One that brings a MiB in so many milliseconds, one read after the other.
class SteadyDisk : public FakeDevice {
 public:
  explicit SteadyDisk(int64_t ms_for_a_mib = 1) : ms_for_a_mib_(ms_for_a_mib) {}
  Result<std::unique_ptr<FileReader>> open_reader(int fd, std::string_view) override {
    return std::unique_ptr<FileReader>(std::make_unique<Reader>(*this, fd));
  }
  Bytes bytes_brought() const { return {bytes_brought_}; }

 private:
  class Ticket : public ReadTicket {
   public:
    Ticket(SteadyDisk& disk, Status status, int64_t finished_ns)
        : disk_(disk), status_(std::move(status)), finished_ns_(finished_ns) {}
    Status wait() override {
      const int64_t left = finished_ns_ - disk_.now_ns();
      if (left > 0) disk_.advance(left);
      return status_;
    }
    int64_t finished_ns() const override { return finished_ns_; }

   private:
    SteadyDisk& disk_;
    Status status_;
    int64_t finished_ns_;
  };
  class Reader : public FileReader {
   public:
    Reader(SteadyDisk& disk, int fd) : disk_(disk), fd_(fd) {}
    Result<std::unique_ptr<ReadTicket>> start(Bytes offset, Bytes size, std::byte* out) override {
      return disk_.start(fd_, offset, size, out);
    }
    bool direct() const override { return true; }
    std::string_view mechanism() const override { return "steady"; }

   private:
    SteadyDisk& disk_;
    int fd_;
  };

  Result<std::unique_ptr<ReadTicket>> start(int fd, Bytes offset, Bytes size, std::byte* out) {
    Status status;
    if (pread(fd, out, static_cast<size_t>(size.count), offset.count) < 0) status = unavailable("pread");
    const std::lock_guard lock(mutex_);
    free_ns_ = std::max(free_ns_, now_ns()) + size.count * ms_for_a_mib_ * 1'000'000 / mib(1).count;
    bytes_brought_ += size.count;
    return std::unique_ptr<ReadTicket>(std::make_unique<Ticket>(*this, std::move(status), free_ns_));
  }

  const int64_t ms_for_a_mib_;
  std::mutex mutex_;  // guards the next one
  int64_t free_ns_ = 0;
  std::atomic<int64_t> bytes_brought_ = 0;
};

}  // namespace headrace::fake
