// FakeDevice: host memory with a limit, a clock of its own, and reads that are late, out of order or fail.
//
// What the tests of budgets and races run on. Reads are done by threads of its own, in an order drawn from
// the seed; each moves the clock by `read_ns`. Threads: all methods may be called by several.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <headrace/bytes.h>
#include "device/device.h"
#include "device/fake/fake_countdown.h"
#include "device/host_memory.h"

namespace headrace::fake {

struct FakeOptions {
  Bytes memory_limit = gib(1);
  uint64_t seed = 1;
  int reader_threads = 2;     // of each reader
  int64_t read_ns = 1000000;  // on the clock, for each read
  int max_yields = 8;         // a read gives way to other threads up to so many times
};

class FakeDevice : public Device {
 public:
  explicit FakeDevice(FakeOptions options = {});
  ~FakeDevice() override;

  // The nth read (allocation) from now on fails, once, or all from that one on; 0 is the next. Negative:
  // none.
  void fail_read(int64_t nth) { read_to_fail_.arm(nth); }
  void fail_reads_from(int64_t nth) { reads_to_fail_from_ = nth < 0 ? INT64_MAX : reads_ + nth; }
  void fail_allocation(int64_t nth) { allocation_to_fail_.arm(nth); }
  void advance(int64_t ns) { clock_ns_ += ns; }
  void set_memory_limit(Bytes limit) { limit_ = limit.count; }
  void reset_peak() { peak_ = used().count; }
  int64_t reads() const { return reads_; }
  Bytes bytes_read() const { return {bytes_read_}; }

  Result<std::unique_ptr<FileReader>> open_reader(int fd, std::string_view name) override;
  std::unique_ptr<Queue> make_queue() override;
  Bytes used() const override { return memory_.used(); }
  Bytes peak() const override { return {peak_.load()}; }
  Bytes available() const override;
  int64_t now_ns() const override { return clock_ns_.fetch_add(1); }  // never twice the same

 protected:
  Result<std::byte*> allocate_bytes(Bytes size, std::string_view what) override;
  void free_bytes(std::byte* data, Bytes size) override { memory_.free(data, size); }

 private:
  class Reader;
  const FakeOptions options_;
  HostMemory memory_;
  std::atomic<int64_t> limit_, peak_ = 0;
  mutable std::atomic<int64_t> clock_ns_ = 0;
  Countdown read_to_fail_, allocation_to_fail_;
  std::atomic<int64_t> reads_to_fail_from_ = INT64_MAX;
  std::atomic<int64_t> reads_ = 0, bytes_read_ = 0, readers_ = 0;
};

}  // namespace headrace::fake
