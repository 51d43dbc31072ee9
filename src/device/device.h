// Device: memory, queues and file reads behind one small interface, every byte counted.
//
// The CPU's device is host memory and a queue that runs at once; CUDA's will be device memory and a stream;
// the fake one has a clock, delays, limits and failures, so that races and budgets are tested without
// hardware.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <headrace/bytes.h>
#include <headrace/status.h>

namespace headrace {

class Device;
class QueuedDevice;

// A run of device memory, freed and uncounted when it dies. Moves.
class Allocation {
 public:
  Allocation() = default;
  Allocation(Allocation&& other) noexcept;
  Allocation& operator=(Allocation&& other) noexcept;
  ~Allocation();

  std::byte* data() const { return data_; }
  Bytes size() const { return size_; }  // as counted: whole pages

 private:
  friend class Device;
  Device* device_ = nullptr;
  std::byte* data_ = nullptr;
  Bytes size_;
};

// Memory whose size changes: an arena. Freed and uncounted when it dies.
//
// Where the device reserves addresses, growth keeps data() and the bytes that are there, and growth that
// fails leaves all as it was. Elsewhere the memory is another one when it has grown, and none where that
// failed. Threads: one at a time.
class GrowableMemory {
 public:
  virtual ~GrowableMemory() = default;
  virtual std::byte* data() const = 0;  // nullptr where there has never been a byte
  virtual Bytes size() const = 0;       // as counted: a multiple of Device::growth_unit()
  // To at least `size` bytes; pieces that are not needed for that are given back, and all of them for none.
  // REQUIRES: work that is not over uses no byte that goes; nothing waits for it. Errors: kExhausted.
  virtual Status resize(Bytes size) = 0;
};

// Work in order. On the CPU enqueued work has run already.
class Queue {
 public:
  virtual ~Queue() = default;
  virtual Status synchronize() = 0;
};

// A read that is under way. Destroying it waits for it.
class ReadTicket {
 public:
  virtual ~ReadTicket() = default;
  // Waits until the bytes are there. Errors: kUnavailable (the device failed), kCorrupt (the file is
  // shorter).
  virtual Status wait() = 0;
  // When the reader noticed that the last byte was there, on the device's clock; 0: it keeps no such time.
  // REQUIRES: wait() returned.
  virtual int64_t finished_ns() const { return 0; }
};

// Reads of one open file, around the page cache where the file system allows it. Threads: one at a time.
class FileReader {
 public:
  virtual ~FileReader() = default;
  // Starts reading [offset, offset + size) to `out` and returns at once. REQUIRES: offset, size and out are
  // multiples of kReadAlignment; the last read of a file may pass its end by less than that.
  virtual Result<std::unique_ptr<ReadTicket>> start(Bytes offset, Bytes size, std::byte* out) = 0;
  // Notices what has finished, and hands on what waited for its place in the queue. Does not wait.
  virtual void poll() {}
  virtual bool direct() const = 0;                 // false: the page cache is used, and dropped behind us
  virtual std::string_view mechanism() const = 0;  // "io_uring", "threads", for reports
};
inline constexpr Bytes kReadAlignment = {4096};

class Device {
 public:
  virtual ~Device() = default;

  // At least `size` bytes at a page's start (on a GPU: at a multiple of 256), counted. `what` names it in the
  // error. Errors: kExhausted with asked, used and limit.
  Result<Allocation> allocate(Bytes size, std::string_view what);
  // Of no bytes yet. Borrows the device; `what` names it in errors.
  virtual std::unique_ptr<GrowableMemory> make_growable(std::string_view what);
  virtual Bytes growth_unit() const { return kReadAlignment; }  // what its sizes are multiples of
  // Errors: kUnavailable, kExhausted (descriptors). `fd` is borrowed and must outlive the reader.
  virtual Result<std::unique_ptr<FileReader>> open_reader(int fd, std::string_view name) = 0;
  virtual std::unique_ptr<Queue> make_queue() = 0;

  virtual Bytes used() const = 0;  // allocated now
  virtual Bytes peak() const = 0;  // the most at any time
  // Bytes that could still be allocated: free memory, cgroup limits and RLIMIT_DATA included.
  virtual Bytes available() const = 0;
  virtual int64_t now_ns() const = 0;  // a monotonic clock
  // This device where it has memory of its own and runs behind the host; nullptr on the host's.
  virtual QueuedDevice* queued() { return nullptr; }

 protected:
  friend class Allocation;
  virtual Result<std::byte*> allocate_bytes(Bytes size, std::string_view what) = 0;
  virtual void free_bytes(std::byte* data, Bytes size) = 0;
};

// The host's memory and disks.
std::unique_ptr<Device> make_host_device();

}  // namespace headrace
