// CudaDevice: one GPU's memory, streams, graphs and copies.
#pragma once

#include <memory>
#include <string>

#include "device/cuda/driver.h"
#include "device/queued_device.h"

namespace headrace::cuda {

class CudaDevice : public QueuedDevice {
 public:
  virtual const Driver& api() const = 0;
  virtual int index() const = 0;
  virtual int sm() const = 0;  // 90 for compute capability 9.0
  virtual int multiprocessors() const = 0;
  virtual int shared_memory() const = 0;  // the most that a block can ask for, in bytes
  virtual std::string name() const = 0;   // "NVIDIA H200"
  virtual CUcontext context() const = 0;  // the primary one, that PyTorch and the libraries use too
};

// A stream. What `make_queue`, `make_work_queue` and `borrow_queue` of a CudaDevice give.
class CudaQueue : public WorkQueue {
 public:
  virtual CUstream stream() const = 0;
};

// Makes the device's context current on this thread while it lives.
class CurrentContext {
 public:
  explicit CurrentContext(const CudaDevice& device);
  ~CurrentContext();
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;

 private:
  const CudaDevice& device_;
  bool pushed_ = false;
};

// Errors: kUnavailable: no driver, no such device.
Result<std::shared_ptr<CudaDevice>> make_cuda_device(int index);

}  // namespace headrace::cuda
