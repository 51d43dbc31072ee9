#include <time.h>

#include "core/error.h"
#include "core/host.h"
#include "core/trace.h"
#include "device/device.h"
#include "device/host_memory.h"
#include "device/read_pieces.h"

namespace headrace {
namespace {

// Linux hands out more memory than there is and kills later, so a large request is checked first; a small one
// would spend more on reading /proc than on its pages.
constexpr Bytes kCheckFrom = mib(16);

class HostQueue : public Queue {
 public:
  Status synchronize() override { return {}; }
};

class HostDevice : public Device {
 public:
  Result<std::unique_ptr<FileReader>> open_reader(int fd, std::string_view name) override {
    HR_ASSIGN(ReadFile file, ReadFile::open(fd, name));
    if (auto reader = make_uring_reader(file)) return reader;
    return make_thread_reader(std::move(file));
  }
  std::unique_ptr<Queue> make_queue() override { return std::make_unique<HostQueue>(); }
  Bytes used() const override { return memory_.used(); }
  Bytes peak() const override { return memory_.peak(); }
  Bytes available() const override { return host_memory_available(); }
  int64_t now_ns() const override { return monotonic_ns(); }

 protected:
  Result<std::byte*> allocate_bytes(Bytes size, std::string_view what) override {
    const Bytes limit = size < kCheckFrom ? Bytes{INT64_MAX} : memory_.used() + available();
    return memory_.allocate(size, limit, what);
  }
  void free_bytes(std::byte* data, Bytes size) override { memory_.free(data, size); }

 private:
  HostMemory memory_;
};

}  // namespace

std::unique_ptr<Device> make_host_device() { return std::make_unique<HostDevice>(); }

}  // namespace headrace
