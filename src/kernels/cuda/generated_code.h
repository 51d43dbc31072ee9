// GeneratedCode: the kernels of a plan, on the device.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <headrace/status.h>
#include "device/cuda/cuda_device.h"

namespace headrace::cuda {

// Threads: const after load.
class GeneratedCode {
 public:
  // `code`: Plan::code; it may be empty. `device` outlives the result.
  // Errors: kCorrupt (no such container), those of the driver (kUnavailable, kExhausted).
  static Result<std::shared_ptr<const GeneratedCode>> load(const CudaDevice& device,
                                                           std::span<const std::byte> code);
  explicit GeneratedCode(const CudaDevice& device) : device_(device) {}
  ~GeneratedCode();
  GeneratedCode(const GeneratedCode&) = delete;
  GeneratedCode& operator=(const GeneratedCode&) = delete;

  // The device's context is current. Errors: kCorrupt where there is none.
  Result<CUfunction> function(int64_t module, const std::string& name) const;

 private:
  const CudaDevice& device_;
  std::vector<CUmodule> modules_;
};

}  // namespace headrace::cuda
