#include "device/cuda/cuda_memory.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/units.h"

namespace headrace::cuda {
namespace {

CUmemAllocationProp memory_of(const CudaDevice& device) {
  CUmemAllocationProp memory = {};
  memory.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  memory.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device.index()}};
  return memory;
}

Bytes whole(Bytes size, Bytes unit) { return {(size.count + unit.count - 1) / unit.count * unit.count}; }

class ReservedRange final : public GrowableMemory {
 public:
  ReservedRange(const CudaDevice& device, MemoryCount& count, Bytes granularity, std::string_view what)
      : device_(device), count_(count), granularity_(granularity), what_(what) {}
  ~ReservedRange() override {
    shrink({});
    give_up_addresses();
  }
  std::byte* data() const override { return reinterpret_cast<std::byte*>(base_); }
  Bytes size() const override { return size_; }
  Status resize(Bytes size) override;

 private:
  Status reserve(Bytes least);
  void give_up_addresses();
  Status map(Bytes size);
  void shrink(Bytes size);

  const CudaDevice& device_;
  MemoryCount& count_;
  const Bytes granularity_;
  const std::string what_;
  CUdeviceptr base_ = 0;
  Bytes reserved_, size_;
  std::vector<Bytes> pieces_;  // mapped one after the other; each is unmapped whole
};

Status ReservedRange::resize(Bytes size) {
  const Bytes wanted = whole(size, granularity_);
  if (wanted <= size_) {
    shrink(wanted);
    return {};
  }
  if (wanted > reserved_) {  // the driver had not so many addresses when it was asked
    shrink({});
    give_up_addresses();
    HR_TRY(reserve(wanted));
  }
  return map(wanted - size_);
}

Status ReservedRange::reserve(Bytes least) {
  const CurrentContext current(device_);
  Bytes size = std::max(least, whole(free_memory(device_).total, granularity_));
  for (;;) {
    const CUresult result =
        device_.api().cuMemAddressReserve(&base_, static_cast<size_t>(size.count), 0, 0, 0);
    if (result == CUDA_SUCCESS) {
      reserved_ = size;
      return {};
    }
    base_ = 0;
    if (size == least) {
      return check(result, fmt::format("reserve addresses for {} of {} on CUDA device {} ({})", to_text(size),
                                       what_, device_.index(), device_.name()));
    }
    size = std::max(least, whole({size.count / 2}, granularity_));
  }
}

void ReservedRange::give_up_addresses() {
  if (reserved_ == Bytes{}) return;
  const CurrentContext current(device_);
  (void)device_.api().cuMemAddressFree(base_, static_cast<size_t>(reserved_.count));
  base_ = 0;
  reserved_ = {};
}

Status ReservedRange::map(Bytes size) {
  const CurrentContext current(device_);
  const Driver& api = device_.api();
  const auto count = static_cast<size_t>(size.count);
  const CUdeviceptr at = base_ + static_cast<CUdeviceptr>(size_.count);
  const CUmemAllocationProp memory = memory_of(device_);
  CUmemGenericAllocationHandle handle = 0;
  CUresult result = api.cuMemCreate(&handle, count, &memory, 0);
  if (result != CUDA_SUCCESS) return allocation_error(device_, result, size, what_);
  result = api.cuMemMap(at, count, 0, handle, 0);
  (void)api.cuMemRelease(handle);  // it lives as long as it is mapped
  if (result != CUDA_SUCCESS) return allocation_error(device_, result, size, what_);
  const CUmemAccessDesc access = {memory.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  result = api.cuMemSetAccess(at, count, &access, 1);
  if (result != CUDA_SUCCESS) {
    (void)api.cuMemUnmap(at, count);
    return allocation_error(device_, result, size, what_);
  }
  pieces_.push_back(size);
  size_ += size;
  count_.add(size);
  return {};
}

// Unlike a free, to unmap waits for no work, and the device must not be waited for as a whole: a capture of
// somebody else's would break.
void ReservedRange::shrink(Bytes size) {
  const CurrentContext current(device_);
  while (!pieces_.empty() && size_ - pieces_.back() >= size) {
    const Bytes piece = pieces_.back();
    pieces_.pop_back();
    size_ -= piece;
    (void)device_.api().cuMemUnmap(base_ + static_cast<CUdeviceptr>(size_.count),
                                   static_cast<size_t>(piece.count));
    count_.remove(piece);
  }
}

}  // namespace

void MemoryCount::add(Bytes size) {
  const int64_t now = used_.fetch_add(size.count) + size.count;
  int64_t peak = peak_;
  while (peak < now && !peak_.compare_exchange_weak(peak, now)) {
  }
}

FreeMemory free_memory(const CudaDevice& device) {
  const CurrentContext current(device);
  size_t free = 0, total = 0;
  if (device.api().cuMemGetInfo(&free, &total) != CUDA_SUCCESS) return {};  // a failed device has no room
  return {{static_cast<int64_t>(free)}, {static_cast<int64_t>(total)}};
}

Status allocation_error(const CudaDevice& device, CUresult result, Bytes size, std::string_view what) {
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    const FreeMemory all = free_memory(device);
    return exhausted("cannot allocate {} for {} on CUDA device {} ({}): {} in use here, {} of {} free",
                     to_text(size), what, device.index(), device.name(), to_text(device.used()),
                     to_text(all.free), to_text(all.total));
  }
  return check(result, fmt::format("allocate {} for {} on CUDA device {} ({})", to_text(size), what,
                                   device.index(), device.name()));
}

Result<Bytes> range_granularity(const CudaDevice& device) {
  const CurrentContext current(device);
  int supported = 0;
  HR_TRY(check(device.api().cuDeviceGetAttribute(
                   &supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device.index()),
               fmt::format("ask CUDA device {} whether it reserves addresses", device.index())));
  if (!supported) return Bytes{};
  const CUmemAllocationProp memory = memory_of(device);
  size_t granularity = 0;
  HR_TRY(check(
      device.api().cuMemGetAllocationGranularity(&granularity, &memory, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
      fmt::format("ask CUDA device {} for its granularity", device.index())));
  return Bytes{static_cast<int64_t>(granularity)};
}

std::unique_ptr<GrowableMemory> make_reserved_range(const CudaDevice& device, MemoryCount& count,
                                                    Bytes granularity, std::string_view what) {
  return std::make_unique<ReservedRange>(device, count, granularity, what);
}

}  // namespace headrace::cuda
