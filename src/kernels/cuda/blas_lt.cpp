#include "kernels/cuda/blas_lt.h"

#include "core/error.h"
#include "kernels/cuda/fingerprint.h"

namespace headrace::cuda {

static_assert(CUBLAS_VER_MAJOR == kCublasLtMajor);

Status check_blas(cublasStatus_t status, std::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  const Code code = status == CUBLAS_STATUS_ALLOC_FAILED    ? Code::kExhausted
                    : status == CUBLAS_STATUS_NOT_SUPPORTED ? Code::kUnsupported
                                                            : Code::kUnavailable;
  return Status(code, fmt::format("{}: cuBLASLt says {} ({})", what, cublasLtGetStatusName(status),
                                  cublasLtGetStatusString(status)));
}

Result<BlasLtHandle> open_blas_lt() {
  const size_t version = cublasLtGetVersion();
  const size_t major = version / 10000;
  if (major != kCublasLtMajor)
    return incompatible("cuBLASLt {}.{} was found; Headrace needs version {}", major, version % 10000 / 100,
                        kCublasLtMajor);
  cublasLtHandle_t handle = nullptr;
  HR_TRY(check_blas(cublasLtCreate(&handle), "open cuBLASLt"));
  return BlasLtHandle(handle);
}

}  // namespace headrace::cuda
