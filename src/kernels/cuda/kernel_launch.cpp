#include "kernels/cuda/kernel_launch.h"

#include <fmt/format.h>

namespace headrace::cuda {

Status allow_shared(const CudaDevice& device, CUfunction function, int64_t bytes, std::string_view name) {
  return check(device.api().cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                               static_cast<int>(bytes)),
               fmt::format("give '{}' {} bytes of shared memory", name, bytes));
}

Status launch_kernel(const CudaDevice& device, CUfunction function, const KernelLaunch& launch,
                     void* arguments, CUstream stream, std::string_view name) {
  std::array<CUlaunchAttribute, 2> attributes = {};
  unsigned count = 0;
  if (device.sm() >= 90) {
    CUlaunchAttribute& early = attributes[count++];
    early.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    early.value.programmaticStreamSerializationAllowed = 1;
  }
  if (launch.cluster > 1) {
    CUlaunchAttribute& cluster = attributes[count++];
    cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    cluster.value.clusterDim = {launch.cluster, 1, 1};
  }
  CUlaunchConfig config = {};
  config.gridDimX = launch.grid[0];
  config.gridDimY = launch.grid[1];
  config.gridDimZ = launch.grid[2];
  config.blockDimX = launch.block[0];
  config.blockDimY = launch.block[1];
  config.blockDimZ = launch.block[2];
  config.sharedMemBytes = launch.shared;
  config.hStream = stream;
  config.attrs = attributes.data();
  config.numAttrs = count;
  void* parameters[] = {arguments};
  return check(device.api().cuLaunchKernelEx(&config, function, parameters, nullptr), name);
}

}  // namespace headrace::cuda
