// Memory of a CudaDevice: how it is counted, and ranges of reserved addresses.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>

#include "device/cuda/cuda_device.h"

namespace headrace::cuda {

// Threads: all methods may be called by several.
class MemoryCount {
 public:
  void add(Bytes size);
  void remove(Bytes size) { used_ -= size.count; }
  Bytes used() const { return {used_}; }
  Bytes peak() const { return {peak_}; }

 private:
  std::atomic<int64_t> used_ = 0, peak_ = 0;
};

struct FreeMemory {
  Bytes free, total;
};
// Of the device, by all programs; nothing where it has failed.
FreeMemory free_memory(const CudaDevice& device);

// Why the driver gave no memory. Errors: kExhausted, with asked, used and free; kUnavailable.
Status allocation_error(const CudaDevice& device, CUresult result, Bytes size, std::string_view what);

// What memory at reserved addresses comes in multiples of; none where the device reserves no addresses.
Result<Bytes> range_granularity(const CudaDevice& device);

// Addresses are reserved for as much memory as the device has, so that growth never needs others; memory is
// mapped there as it is needed. Borrows both.
std::unique_ptr<GrowableMemory> make_reserved_range(const CudaDevice& device, MemoryCount& count,
                                                    Bytes granularity, std::string_view what);

}  // namespace headrace::cuda
