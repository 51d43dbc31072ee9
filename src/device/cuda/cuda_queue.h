// Streams, events and graphs: what a CudaDevice makes its queues of.
//
// Everything here borrows the device, and waits for its own work when it is destroyed.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "device/cuda/cuda_device.h"

namespace headrace::cuda {

// A copy inside a graph: its node, and what it was captured or changed to last.
struct ChangingCopy {
  CUgraphNode node = nullptr;
  CUDA_MEMCPY3D params = {};
};

// The changing copies of captures that are under way, by the driver's number of the capture: several queues
// may take part in one. Threads: all methods may be called by several.
class Captures {
 public:
  CopyIndex add(cuuint64_t capture, const ChangingCopy& copy);
  std::vector<ChangingCopy> take(cuuint64_t capture);

 private:
  std::mutex mutex_;
  std::map<cuuint64_t, std::vector<ChangingCopy>> copies_;
};

// Errors: kExhausted, kUnavailable.
Result<std::unique_ptr<CudaQueue>> make_stream(const CudaDevice& device, Captures& captures);
std::unique_ptr<CudaQueue> borrow_stream(const CudaDevice& device, Captures& captures, CUstream stream);
// For callers that cannot be told now: every call on it gives `why`.
std::unique_ptr<CudaQueue> make_failed_queue(Status why);
Result<std::unique_ptr<Event>> make_stream_event(const CudaDevice& device, unsigned flags);

}  // namespace headrace::cuda
