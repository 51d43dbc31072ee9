// LtMatmul: a MatmulProblem made ready for cuBLASLt: layouts, and an algorithm chosen.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "kernels/cuda/libraries.h"
#include "kernels/cuda/matmul_problem.h"

namespace headrace::cuda {

// Where the operands of one call lie. The bias is nullptr where there is none.
struct LtPointers {
  std::byte* operands[kLtOperands] = {};
  std::byte* bias = nullptr;
};

inline constexpr uint32_t kFullAlignment = 16;  // what the fastest kernels' loads need

// Powers of two that addresses are multiples of, in bytes.
struct LtAlignment {
  std::array<uint32_t, kLtOperands> operands;
  uint32_t bias = kFullAlignment;
  bool operator==(const LtAlignment&) const = default;
  std::string text() const;
};

// Threads: const after make.
class LtMatmul {
 public:
  // Errors: kUnsupported where cuBLASLt has no algorithm.
  static Result<std::shared_ptr<const LtMatmul>> make(const MatmulProblem& problem,
                                                      const LtAlignment& alignment, ChoiceMode mode,
                                                      Libraries& libraries, Tuning& tuning);

  TuningOutcome outcome() const { return outcome_; }

  Bytes workspace() const { return {static_cast<int64_t>(algorithm_.workspace)}; }
  // `workspace`: on kWorkspaceAlignment.
  Status enqueue(const LtPointers& at, std::byte* workspace, CUstream stream) const;

 private:
  struct Algorithm {
    cublasLtMatmulAlgo_t algo = {};
    size_t workspace = 0;
  };

  class Algorithms;

  Status make_layouts();
  Result<BlasLtOwner<cublasLtMatmulDesc_t>> make_desc(const std::byte* bias) const;
  // cuBLASLt's best guesses, `count` of them at most, the best first.
  Result<std::vector<Algorithm>> candidates(int count, Bytes most) const;
  // With its scratch; nullopt where this library does not do the problem so.
  std::optional<Algorithm> checked(const cublasLtMatmulAlgo_t& algo, Bytes most) const;
  // A bias for questions, which look at its address alone.
  const std::byte* bias_to_ask_with() const;
  Status run(const Algorithm& algorithm, const LtPointers& at, std::byte* workspace, CUstream stream) const;
  std::array<Bytes, kLtOperands> extents() const;

  MatmulProblem problem_;
  LtAlignment alignment_;
  cublasLtHandle_t handle_ = nullptr;
  std::array<BlasLtOwner<cublasLtMatrixLayout_t>, kLtOperands> layouts_;
  Algorithm algorithm_;
  TuningOutcome outcome_ = TuningOutcome::kUntuned;
};

}  // namespace headrace::cuda
