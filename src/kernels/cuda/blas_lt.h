// cuBLASLt's handles, each with its one owner.
#pragma once

#include <cublasLt.h>

#include <memory>
#include <string_view>

#include <headrace/status.h>

namespace headrace::cuda {

Status check_blas(cublasStatus_t status, std::string_view what);

struct BlasLtDestroy {
  void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
  void operator()(cublasLtMatmulDesc_t desc) const { cublasLtMatmulDescDestroy(desc); }
  void operator()(cublasLtMatrixLayout_t layout) const { cublasLtMatrixLayoutDestroy(layout); }
  void operator()(cublasLtMatmulPreference_t preference) const {
    cublasLtMatmulPreferenceDestroy(preference);
  }
};
template <class Handle>
using BlasLtOwner = std::unique_ptr<std::remove_pointer_t<Handle>, BlasLtDestroy>;

// Threads: a handle may be used by several at once.
using BlasLtHandle = BlasLtOwner<cublasLtHandle_t>;
// REQUIRES: the device's context is current. Errors: kIncompatible (another major version), kUnavailable.
Result<BlasLtHandle> open_blas_lt();

}  // namespace headrace::cuda
