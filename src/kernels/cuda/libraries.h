// Libraries: cuBLASLt and cuDNN on one device, what was tuned for it, and the parts that kernels share.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <headrace/status.h>
#include "core/error.h"
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/blas_lt.h"
#include "kernels/cuda/cudnn_handle.h"
#include "kernels/cuda/tuner.h"

namespace headrace::cuda {

// The most scratch that an algorithm may ask for: where Hopper's fastest products stop gaining.
constexpr Bytes library_workspace(int sm) { return {sm >= 90 ? int64_t{32} << 20 : int64_t{8} << 20}; }
// cuBLASLt and cuDNN want their scratch at such addresses.
inline constexpr int64_t kWorkspaceAlignment = 256;

// Threads: any. The libraries are opened when first asked for, and then stay.
class Libraries {
 public:
  // `choices` outlives this.
  Libraries(std::shared_ptr<CudaDevice> device, TuningChoices& choices)
      : device_(std::move(device)), choices_(choices), tuner_(*device_, {}) {}
  ~Libraries();
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;

  CudaDevice& device() { return *device_; }
  // REQUIRES of both: the device's context is current.
  Result<cublasLtHandle_t> blas_lt();
  Result<CudnnHandle*> cudnn();
  TuningChoices& choices() { return choices_; }
  Tuner& tuner() { return tuner_; }
  // "NVIDIA H200 sm_90": the device's part of a choice's key.
  std::string device_key() const;

  // A part that kernels with the same key share while any of them lives; made where there is none.
  template <class T, class Make>
  Result<std::shared_ptr<const T>> shared(const std::string& key, const Make& make) {
    if (std::shared_ptr<const void> found = find(key)) return std::static_pointer_cast<const T>(found);
    HR_ASSIGN(std::shared_ptr<const T> part, make());
    return std::static_pointer_cast<const T>(add(key, std::move(part)));
  }

 private:
  std::shared_ptr<const void> find(const std::string& key);
  std::shared_ptr<const void> add(const std::string& key, std::shared_ptr<const void> part);

  std::shared_ptr<CudaDevice> device_;
  TuningChoices& choices_;
  Tuner tuner_;
  std::mutex mutex_;
  std::optional<Result<BlasLtHandle>> blas_lt_;
  std::optional<Result<std::unique_ptr<CudnnHandle>>> cudnn_;
  std::map<std::string, std::weak_ptr<const void>> parts_;
};

}  // namespace headrace::cuda
