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
#include "kernels/cuda/graph_timer.h"
#include "kernels/cuda/tuner.h"
#include "kernels/cuda/tuning_choices.h"

namespace headrace::cuda {

// The most scratch that an algorithm may ask for: where Hopper's fastest products stop gaining.
constexpr Bytes library_workspace(int sm) { return {sm >= 90 ? int64_t{32} << 20 : int64_t{8} << 20}; }
// cuBLASLt and cuDNN want their scratch at such addresses.
inline constexpr int64_t kWorkspaceAlignment = 256;

// All that a choice depends on beside its problem: the device, its driver, the libraries' versions, and the
// form of our own choices.
std::string tuning_place(const CudaDevice& device);

// Threads: any. The libraries are opened when first asked for, and then stay.
class Libraries {
 public:
  // `choices`: of tuning_place(*device).
  Libraries(std::shared_ptr<CudaDevice> device, std::shared_ptr<TuningChoices> choices)
      : device_(std::move(device)), choices_(std::move(choices)), timer_(*device_), tuner_(timer_) {}
  ~Libraries();
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;

  CudaDevice& device() { return *device_; }
  // REQUIRES of both: the device's context is current.
  Result<cublasLtHandle_t> blas_lt();
  Result<CudnnHandle*> cudnn();
  TuningChoices& choices() { return *choices_; }
  Tuner& tuner() { return tuner_; }

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
  const std::shared_ptr<TuningChoices> choices_;
  GraphTimer timer_;
  Tuner tuner_;
  std::mutex mutex_;
  std::optional<Result<BlasLtHandle>> blas_lt_;
  std::optional<Result<std::unique_ptr<CudnnHandle>>> cudnn_;
  std::map<std::string, std::weak_ptr<const void>> parts_;
};

}  // namespace headrace::cuda
