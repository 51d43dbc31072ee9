// CudnnHandle: cuDNN on one device.
#pragma once

#include <cudnn.h>

#include <memory>
#include <mutex>
#include <string_view>

#include <headrace/status.h>

namespace headrace::cuda {

Status check_cudnn(cudnnStatus_t status, std::string_view what);

// Threads: a handle has one stream, so whoever uses it holds it locked.
class CudnnHandle {
 public:
  // REQUIRES: the device's context is current. Errors: kIncompatible (another major version), kUnavailable.
  static Result<std::unique_ptr<CudnnHandle>> open();
  explicit CudnnHandle(cudnnHandle_t handle) : handle_(handle) {}  // which is ours from now on
  ~CudnnHandle() { cudnnDestroy(handle_); }
  CudnnHandle(const CudnnHandle&) = delete;
  CudnnHandle& operator=(const CudnnHandle&) = delete;

  class Lock {
   public:
    explicit Lock(CudnnHandle& of) : lock_(of.mutex_), handle_(of.handle_) {}
    cudnnHandle_t get() const { return handle_; }

   private:
    std::lock_guard<std::mutex> lock_;
    cudnnHandle_t handle_;
  };

 private:
  std::mutex mutex_;
  cudnnHandle_t handle_;
};

}  // namespace headrace::cuda
