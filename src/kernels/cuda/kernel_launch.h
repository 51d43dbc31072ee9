// Putting a kernel of ours on a stream.
#pragma once

#include <cuda.h>

#include <array>
#include <string_view>

#include <headrace/status.h>
#include "device/cuda/cuda_device.h"

namespace headrace::cuda {

struct KernelLaunch {
  std::array<unsigned, 3> grid = {1, 1, 1}, block = {1, 1, 1};
  unsigned shared = 0;   // dynamic shared memory of a block, in bytes
  unsigned cluster = 1;  // blocks of a cluster; divides grid[0]
};

// Lets the kernel be launched with so many bytes of dynamic shared memory: at most device.shared_memory().
Status allow_shared(const CudaDevice& device, CUfunction function, int64_t bytes, std::string_view name);

// `arguments`: the kernel's one parameter. From sm_90 on the kernel may begin while the one ahead of it on
// the stream still runs, so it must wait before it touches what that one writes (wait_for_previous() in
// lowering/cuda/device/prelude.cuh). Capturable. The device's context is current.
Status launch_kernel(const CudaDevice& device, CUfunction function, const KernelLaunch& launch,
                     void* arguments, CUstream stream, std::string_view name);

}  // namespace headrace::cuda
