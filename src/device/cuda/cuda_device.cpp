#include "device/cuda/cuda_device.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <optional>

#include "core/error.h"
#include "core/trace.h"
#include "device/cuda/cuda_file.h"
#include "device/cuda/cuda_memory.h"
#include "device/cuda/cuda_queue.h"
#include "device/cuda/nvml.h"

namespace headrace::cuda {
namespace {

// A watch that sees more come or go at once sees other programs. So does one of the start of a context.
constexpr Bytes kMostWatched = mib(512), kLargestContext = gib(2);

class Gpu final : public CudaDevice {
 public:
  Gpu(const Driver& api, int index) : api_(api), index_(index) {}
  ~Gpu() override {
    if (context_) (void)api_.cuDevicePrimaryCtxRelease(handle_);
  }
  Status open();

  const Driver& api() const override { return api_; }
  int index() const override { return index_; }
  int sm() const override { return sm_; }
  int multiprocessors() const override { return multiprocessors_; }
  int shared_memory() const override { return shared_memory_; }
  std::string name() const override { return name_; }
  CUcontext context() const override { return context_; }

  Result<std::unique_ptr<FileReader>> open_reader(int fd, std::string_view name) override {
    return open_file_reader(*this, fd, name);
  }
  std::unique_ptr<Queue> make_queue() override {
    auto made = make_stream(*this, captures_);
    return made.ok() ? *std::move(made) : make_failed_queue(made.status());
  }
  Result<std::unique_ptr<WorkQueue>> make_work_queue() override {
    HR_ASSIGN(auto made, make_stream(*this, captures_));
    return std::unique_ptr<WorkQueue>(std::move(made));
  }
  Result<std::unique_ptr<WorkQueue>> borrow_queue(void* stream) override {
    return std::unique_ptr<WorkQueue>(borrow_stream(*this, captures_, static_cast<CUstream>(stream)));
  }
  Result<std::unique_ptr<Event>> make_event() override {
    return make_stream_event(*this, CU_EVENT_DISABLE_TIMING);
  }
  Result<std::unique_ptr<Event>> make_timed_event() override {
    return make_stream_event(*this, CU_EVENT_DEFAULT);
  }
  Result<std::unique_ptr<CopySource>> open_source(int fd, Bytes begin, Bytes size, Bytes host_limit,
                                                  std::string_view name) override {
    return open_file_source(*this, fd, begin, size, host_limit, name);
  }
  bool owns(const void* data) const override;

  std::unique_ptr<GrowableMemory> make_growable(std::string_view what) override {
    if (granularity_ == Bytes{}) return Device::make_growable(what);
    return make_reserved_range(*this, count_, granularity_, what);
  }
  Bytes growth_unit() const override {
    return granularity_ == Bytes{} ? Device::growth_unit() : granularity_;
  }
  Bytes used() const override { return count_.used(); }
  Bytes peak() const override { return count_.peak(); }
  Bytes available() const override { return free_memory(*this).free; }
  int64_t now_ns() const override { return monotonic_ns(); }
  Bytes driver_bytes() const override { return {driver_}; }
  Bytes block() const override { return mib(2); }
  void begin_watch() override;
  void end_watch() override;

 protected:
  Result<std::byte*> allocate_bytes(Bytes size, std::string_view what) override;
  void free_bytes(std::byte* data, Bytes size) override;

 private:
  Status start();
  Status ask(int& value, CUdevice_attribute attribute, std::string_view what) const {
    return check(api_.cuDeviceGetAttribute(&value, attribute, handle_),
                 fmt::format("ask CUDA device {} for its {}", index_, what));
  }

  const Driver& api_;
  const int index_;
  CUdevice handle_ = 0;
  CUcontext context_ = nullptr;
  std::string name_;
  int sm_ = 0, multiprocessors_ = 0, shared_memory_ = 0;
  Captures captures_;
  MemoryCount count_;
  Bytes granularity_;  // of ranges of reserved addresses; none where there are none
  std::atomic<int64_t> driver_ = 0;

  std::mutex watch_mutex_;  // guards the two below
  int watches_ = 0;
  Bytes not_ours_;  // when the first of them began: neither free nor in an allocation of ours
};

Status Gpu::open() {
  int count = 0;
  HR_TRY(check(api_.cuDeviceGetCount(&count), "count the CUDA devices"));
  if (index_ < 0 || index_ >= count) {
    return unavailable(
        "there is no CUDA device {}: the driver shows {}; CUDA_VISIBLE_DEVICES may hide others", index_,
        count);
  }
  HR_TRY(check(api_.cuDeviceGet(&handle_, index_), fmt::format("open CUDA device {}", index_)));
  std::array<char, 256> name = {};
  HR_TRY(check(api_.cuDeviceGetName(name.data(), static_cast<int>(name.size()) - 1, handle_),
               fmt::format("ask CUDA device {} for its name", index_)));
  name_ = name.data();
  int major = 0, minor = 0;
  HR_TRY(ask(major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, "compute capability"));
  HR_TRY(ask(minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, "compute capability"));
  sm_ = major * 10 + minor;
  HR_TRY(ask(multiprocessors_, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, "multiprocessors"));
  HR_TRY(ask(shared_memory_, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, "shared memory"));
  return start();
}

Status Gpu::start() {
  unsigned flags = 0;
  int active = 0;
  HR_TRY(check(api_.cuDevicePrimaryCtxGetState(handle_, &flags, &active),
               fmt::format("ask CUDA device {} for its context", index_)));
  std::array<char, 64> place = {};
  HR_TRY(check(api_.cuDeviceGetPCIBusId(place.data(), static_cast<int>(place.size()) - 1, handle_),
               fmt::format("ask CUDA device {} for its place", index_)));
  // A context that is there already is somebody else's to account for.
  std::optional<Nvml> nvml;
  if (!active) nvml.emplace(place.data());
  const std::optional<Bytes> before = nvml ? nvml->used() : std::nullopt;
  CUcontext context = nullptr;
  HR_TRY(check(api_.cuDevicePrimaryCtxRetain(&context, handle_),
               fmt::format("start CUDA device {} ({})", index_, name_)));
  context_ = context;
  const std::optional<Bytes> after = before ? nvml->used() : std::nullopt;
  if (after && *after > *before && *after - *before <= kLargestContext) driver_ = (*after - *before).count;
  HR_ASSIGN(granularity_, range_granularity(*this));
  return {};
}

bool Gpu::owns(const void* data) const {
  if (!data) return false;
  const CurrentContext current(*this);
  const auto at = reinterpret_cast<CUdeviceptr>(data);
  // Host memory that the driver does not know is an error here. What it has pinned is the host's too.
  unsigned managed = 0, type = 0;
  if (api_.cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, at) == CUDA_SUCCESS && managed) {
    return true;
  }
  int ordinal = -1;
  return api_.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, at) == CUDA_SUCCESS &&
         type == CU_MEMORYTYPE_DEVICE &&
         api_.cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, at) == CUDA_SUCCESS &&
         ordinal == index_;
}

void Gpu::begin_watch() {
  const std::lock_guard lock(watch_mutex_);
  if (watches_++ > 0) return;
  const FreeMemory now = free_memory(*this);
  not_ours_ = now.total - now.free - used();
}

void Gpu::end_watch() {
  const std::lock_guard lock(watch_mutex_);
  if (--watches_ > 0) return;
  const FreeMemory now = free_memory(*this);
  const Bytes grown = now.total - now.free - used() - not_ours_;
  if (now.total == Bytes{} || std::abs(grown.count) > kMostWatched.count) return;
  driver_ = std::max<int64_t>(0, driver_ + grown.count);
}

Result<std::byte*> Gpu::allocate_bytes(Bytes size, std::string_view what) {
  const CurrentContext current(*this);
  CUdeviceptr data = 0;
  const CUresult result = api_.cuMemAlloc(&data, static_cast<size_t>(size.count));
  if (result != CUDA_SUCCESS) return allocation_error(*this, result, size, what);
  count_.add(size);
  return reinterpret_cast<std::byte*>(data);
}

void Gpu::free_bytes(std::byte* data, Bytes size) {
  const CurrentContext current(*this);
  (void)api_.cuMemFree(reinterpret_cast<CUdeviceptr>(data));  // waits for work that may still use it
  count_.remove(size);
}

}  // namespace

CurrentContext::CurrentContext(const CudaDevice& device)
    : device_(device), pushed_(device.api().cuCtxPushCurrent(device.context()) == CUDA_SUCCESS) {}

CurrentContext::~CurrentContext() {
  CUcontext popped = nullptr;
  if (pushed_) (void)device_.api().cuCtxPopCurrent(&popped);
}

Result<std::shared_ptr<CudaDevice>> make_cuda_device(int index) {
  HR_ASSIGN(const Driver* api, driver());
  auto gpu = std::make_shared<Gpu>(*api, index);
  HR_TRY(gpu->open());
  return std::shared_ptr<CudaDevice>(std::move(gpu));
}

}  // namespace headrace::cuda
