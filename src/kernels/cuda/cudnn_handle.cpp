#include "kernels/cuda/cudnn_handle.h"

#include <array>

#include "core/error.h"
#include "kernels/cuda/fingerprint.h"

namespace headrace::cuda {

static_assert(CUDNN_MAJOR == kCudnnMajor);

Status check_cudnn(cudnnStatus_t status, std::string_view what) {
  if (status == CUDNN_STATUS_SUCCESS) return {};
  std::array<char, 1024> last = {};
  cudnnGetLastErrorString(last.data(), last.size());
  return unavailable("{}: cuDNN says {}: {}", what, cudnnGetErrorString(status), last.data());
}

Result<std::unique_ptr<CudnnHandle>> CudnnHandle::open() {
  const size_t version = cudnnGetVersion(), major = version / 10000;
  if (major != kCudnnMajor)
    return incompatible("cuDNN {}.{} was found; Headrace needs version {}", major, version % 10000 / 100,
                        kCudnnMajor);
  cudnnHandle_t handle = nullptr;
  HR_TRY(check_cudnn(cudnnCreate(&handle), "open cuDNN"));
  return std::make_unique<CudnnHandle>(handle);
}

}  // namespace headrace::cuda
