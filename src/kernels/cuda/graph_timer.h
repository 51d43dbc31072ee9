// GraphTimer: times candidates as they will run, in captured graphs.
#pragma once

#include "device/cuda/cuda_device.h"
#include "kernels/cuda/tuner.h"

namespace headrace::cuda {

// REQUIRES of all: the device's context is current.
class GraphTimer : public CandidateTimer {
 public:
  explicit GraphTimer(CudaDevice& device) : device_(device) {}
  ~GraphTimer() override;
  GraphTimer(const GraphTimer&) = delete;
  GraphTimer& operator=(const GraphTimer&) = delete;

  Status begin(Bytes memory) override;
  Result<double> time_ms(Candidates& candidates, size_t candidate, double best_ms) override;
  Status end() override;

 private:
  Status make_stream();
  Status fill();
  Result<CUgraphExec> capture(Candidates& candidates, size_t candidate);

  CudaDevice& device_;
  CUstream stream_ = nullptr;
  CUevent before_ = nullptr, after_ = nullptr;
  Allocation memory_;
};

}  // namespace headrace::cuda
