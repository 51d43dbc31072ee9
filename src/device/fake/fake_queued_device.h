// FakeQueuedDevice: a GPU's rules over host memory, so that streaming is tested without one.
//
// Queues, events and graphs keep work back and do it later, in an order drawn from the seed (see
// FakeSchedule). What a driver refuses is refused here. What a real GPU would let pass and answer with wrong
// numbers is an error too: waits for events that nobody recorded, work on memory that is freed, graphs that
// overlap themselves. Such a mistake fails the device, as a fault on a GPU does, until heal().
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "device/fake/fake_countdown.h"
#include "device/fake/fake_schedule.h"
#include "device/host_memory.h"
#include "device/queued_device.h"

namespace headrace::fake {

struct FakeQueuedOptions {
  Bytes memory_limit = gib(1);
  uint64_t seed = 1;
  int eager = 30;          // of 100 calls, so many run some work that waits
  int64_t work_ns = 1000;  // on the clock, for each
  bool pins_files = true;  // sources are capturable, while `host_limit` allows it
  Bytes ring = kib(64);    // else; copied through by the host
  Bytes unit = kib(16);    // of memory that grows at reserved addresses; none: no addresses are reserved
};

// Work of the test's own, as a back end's kernels put theirs on a stream. What make_queue and make_work_queue
// of a FakeQueuedDevice give.
class FakeWorkQueue : public WorkQueue {
 public:
  // Does `work` when its turn comes, each time that a graph with it is launched. `uses`: memory that must be
  // alive then.
  virtual Status push(std::string_view what, std::function<Status()> work,
                      std::vector<std::span<const std::byte>> uses = {}) = 0;
};

class FakeQueuedDevice : public QueuedDevice {
 public:
  explicit FakeQueuedDevice(FakeQueuedOptions options = {});
  ~FakeQueuedDevice() override;

  // The nth from now on fails, once; 0 is the next; negative: none. A copy fails when its turn comes and
  // takes the device with it; a call of a queue fails at once and does nothing; a read is of a source or
  // reader.
  void fail_copy(int64_t nth) { copy_to_fail_.arm(nth); }
  void fail_call(int64_t nth) { call_to_fail_.arm(nth); }
  void fail_read(int64_t nth) { read_to_fail_.arm(nth); }
  void fail_allocation(int64_t nth) { allocation_to_fail_.arm(nth); }
  void heal() { schedule_.heal(); }
  Status failure() const { return schedule_.failure(); }

  void set_memory_limit(Bytes limit) { limit_ = limit.count; }
  void reset_peak() { peak_ = used().count; }
  void set_driver_bytes(Bytes bytes) { driver_ = bytes.count; }
  int64_t copies() const { return copies_; }
  Bytes bytes_copied() const { return {bytes_copied_}; }
  int64_t launches() const { return launches_; }
  int64_t captures() const { return captures_; }

  Result<std::unique_ptr<FileReader>> open_reader(int fd, std::string_view name) override;
  std::unique_ptr<Queue> make_queue() override;
  Result<std::unique_ptr<WorkQueue>> make_work_queue() override;
  // `stream`: a WorkQueue* of this device, of which the new one is another handle; nullptr: the default
  // stream, which cannot capture.
  Result<std::unique_ptr<WorkQueue>> borrow_queue(void* stream) override;
  Result<std::unique_ptr<Event>> make_event() override;
  Result<std::unique_ptr<Event>> make_timed_event() override;
  Result<std::unique_ptr<CopySource>> open_source(int fd, Bytes begin, Bytes size, Bytes host_limit,
                                                  std::string_view name) override;
  bool owns(const void* data) const override;
  std::unique_ptr<GrowableMemory> make_growable(std::string_view what) override;
  Bytes growth_unit() const override {
    return options_.unit > Bytes{} ? options_.unit : Device::growth_unit();
  }
  Bytes used() const override { return {used_.load()}; }
  Bytes peak() const override { return {peak_.load()}; }
  Bytes available() const override;
  Bytes driver_bytes() const override { return {driver_}; }
  int64_t now_ns() const override { return clock_ns_.fetch_add(1); }  // never twice the same

 protected:
  Result<std::byte*> allocate_bytes(Bytes size, std::string_view what) override;
  void free_bytes(std::byte* data, Bytes size) override;

 private:
  friend class FakeEvent;
  friend class FakeGraph;
  friend class FakeStream;
  friend class FakeSource;
  friend class FakeFileReader;
  friend class FakeRange;
  struct Range {
    Bytes reserved, mapped;
  };
  Status check(const Work& work);
  Status check_range(const Work& work, const std::byte* data, Bytes size) const;
  Status call(std::string_view what);  // at the start of each call of a queue
  Status mistake(Status what);         // fails the device and gives `what`
  Status read(int fd, Bytes offset, Bytes size, std::byte* out, std::string_view name);
  Status count(Bytes size, std::string_view what);  // as allocated, where the limit allows it

  const FakeQueuedOptions options_;
  HostMemory memory_;
  mutable std::mutex mutex_;  // guards the three maps
  std::map<const std::byte*, Bytes> alive_;
  std::map<std::byte*, Bytes> freed_;  // stays mapped, so that late work is found out and not killed
  std::map<const std::byte*, Range> ranges_;
  std::atomic<int64_t> limit_, used_ = 0, peak_ = 0, driver_ = 0;
  mutable std::atomic<int64_t> clock_ns_ = 0;
  Countdown copy_to_fail_, call_to_fail_, read_to_fail_, allocation_to_fail_;
  std::atomic<int64_t> copies_ = 0, bytes_copied_ = 0, launches_ = 0, captures_ = 0;
  FakeSchedule schedule_;  // last: its work uses all above
  FakeSchedule::Line default_line_;
};

}  // namespace headrace::fake
