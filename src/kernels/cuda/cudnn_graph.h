// CudnnGraph: operations that cuDNN runs as one, with the execution plan chosen for them.
//
// cudnn_graph.cpp is the one place that knows cuDNN's C++ headers.
#pragma once

#include <memory>
#include <span>

#include "kernels/cuda/cudnn_problem.h"
#include "kernels/cuda/libraries.h"

namespace headrace::cuda {

// The role of an operand.
enum class CudnnOperand : int64_t { kX = 1, kW, kBias, kResidual, kY, kQ, kK, kV, kMask, kOut };
struct CudnnBinding {
  CudnnOperand operand;
  std::byte* at;  // on kCudnnAlignment
};
inline constexpr int64_t kCudnnAlignment = 16;

// Threads: const after it is made.
class CudnnGraph {
 public:
  virtual ~CudnnGraph() = default;
  virtual Bytes workspace() const = 0;
  // `workspace`: on kWorkspaceAlignment.
  virtual Status enqueue(std::span<const CudnnBinding> at, std::byte* workspace, CUstream stream) const = 0;
  virtual TuningOutcome outcome() const = 0;
};
using CudnnGraphPtr = std::shared_ptr<const CudnnGraph>;

// How a graph's plan is chosen.
struct CudnnChoice {
  ChoiceMode mode;
  Libraries& libraries;
  Tuning& tuning;
};

// Errors of all: kUnsupported where cuDNN has no plan.
// kX, kW, [kBias], [kResidual] -> kY.
Result<CudnnGraphPtr> make_conv_graph(const ConvProblem& problem, const CudnnChoice& choice);
// What follows the convolution alone: epilogue(kX + bias + residual) -> kY, where kX lies as y does.
Result<CudnnGraphPtr> make_conv_tail_graph(const ConvProblem& problem, const CudnnChoice& choice);
// kQ, kK, kV, [kMask] -> kOut.
Result<CudnnGraphPtr> make_attention_graph(const AttentionProblem& problem, const CudnnChoice& choice);

}  // namespace headrace::cuda
