// Matrix products by cuBLASLt.
#include <algorithm>
#include <array>
#include <limits>

#include "core/error.h"
#include "engine/sizes.h"
#include "kernels/cuda/aligned_operand.h"
#include "kernels/cuda/lt_matmul.h"
#include "kernels/cuda/step_kernel.h"
#include "kernels/cuda/tuned_part.h"
#include "kernels/step_checks.h"

namespace headrace::cuda {

namespace {

// The greatest power of two, up to kFullAlignment, that divides all of them.
uint32_t alignment_of(std::span<const int64_t> bytes) {
  uint32_t alignment = kFullAlignment;
  for (const int64_t number : bytes)
    while (number % alignment != 0) alignment /= 2;
  return alignment;
}
bool is_aligned(const std::byte* at, uint32_t alignment) {
  return reinterpret_cast<uintptr_t>(at) % alignment == 0;
}

class MatmulKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& step);
  Bytes workspace() const override { return zeros_ + scratch_ + Bytes{kWorkspaceAlignment}; }
  Status enqueue(const Addresses& at, CUstream stream) const override;

 private:
  // How an operand is aligned in every call, if its buffer is fully.
  LtAlignment alignment() const;
  Status choose(const StepShapes& step);
  Result<LtPointers> pointers(const Addresses& at, std::byte* zeros) const;
  const LtMatmul& product_for(const LtPointers& at) const;

  const CudaDevice* device_ = nullptr;
  MatmulProblem problem_;
  std::optional<StepTensor> operands_[kLtOperands];  // in the order of the problem
  std::optional<StepTensor> bias_;
  LtAlignment alignment_ = {};
  std::shared_ptr<const LtMatmul> product_, unaligned_;  // the second for buffers that are not aligned
  Bytes zeros_, scratch_;
};

LtAlignment MatmulKernel::alignment() const {
  LtAlignment alignment;
  for (size_t i = 0; i < kLtOperands; ++i) {
    const int64_t size = dtype_size(problem_.dtype_of(i));
    const std::optional<StepTensor>& tensor = operands_[i] ? operands_[i] : operands_[kResult];
    std::vector<int64_t> bytes = {problem_.zeros ? 0 : tensor->offset * size};
    bytes.push_back(problem_.matrices[i].batch_stride * size);
    for (const int64_t stride : problem_.outer_strides[i]) bytes.push_back(stride * size);
    alignment.operands[i] = alignment_of(bytes);
  }
  if (bias_) alignment.bias = alignment_of(std::array{bias_->offset * dtype_size(problem_.dtype)});
  return alignment;
}

Status MatmulKernel::choose(const StepShapes& step) {
  alignment_ = alignment();
  const auto element = static_cast<uint32_t>(dtype_size(problem_.dtype)),
             result = static_cast<uint32_t>(dtype_size(problem_.result));
  const LtAlignment least = {{element, element, result, result}, element};
  const auto make = [&](const LtAlignment& aligned, ChoiceMode mode) {
    return LtMatmul::make(problem_, aligned, mode, *step.libraries, *step.tuning);
  };
  HR_ASSIGN(product_, tuned_part<LtMatmul>(step, fmt::format("{} {}", problem_.key(), alignment_.text()),
                                           [&](ChoiceMode mode) { return make(alignment_, mode); }));
  const ChoiceMode rarely =
      step.tuning->deterministic() ? ChoiceMode::kDeterministic : ChoiceMode::kKnown;  // not worth timing
  const std::string key =
      fmt::format("{} {} mode {}", problem_.key(), least.text(), static_cast<int>(rarely));
  HR_ASSIGN(unaligned_, alignment_ == least ? Result(product_) : step.libraries->shared<LtMatmul>(key, [&] {
    return make(least, rarely);
  }));
  scratch_ = std::max(product_->workspace(), unaligned_->workspace());
  return {};
}

Result<std::unique_ptr<StepKernel>> MatmulKernel::make(const StepShapes& step) {
  HR_ASSIGN(const MatmulForm form, MatmulForm::make(step));
  const bool takes = form.dtype == DType::kF16 || form.dtype == DType::kBF16 || form.dtype == DType::kF32;
  if (!takes || (form.bias && form.n > 1 && form.bias->strides[0] != 1))
    return malformed(step, "cuBLASLt does not take {} or such a bias", dtype_name(form.dtype));
  if (form.out.dtype != form.dtype && (form.bias || form.residual || form.epilogue))
    return malformed(step, "a product of {} that gives {} takes nothing that ends it", dtype_name(form.dtype),
                     dtype_name(form.out.dtype));
  const std::optional<MatmulProblem> problem =
      MatmulProblem::make(form, step.step->attributes.flag("allow_tf32"));
  if (!problem)
    return malformed(step, "strides {} and {} to {} are not those of matrices", to_text(form.a.strides),
                     to_text(form.b.strides), to_text(form.out.strides));
  if (problem->batch > std::numeric_limits<int32_t>::max())
    return malformed(step, "a batch of {} products is too large", problem->batch);
  auto kernel = std::make_unique<MatmulKernel>();
  kernel->device_ = step.device;
  kernel->problem_ = *problem;
  kernel->operands_[kFirst] = problem->swapped ? form.b : form.a;
  kernel->operands_[kSecond] = problem->swapped ? form.a : form.b;
  kernel->operands_[kAddend] = form.residual;
  kernel->operands_[kResult] = form.out;
  kernel->bias_ = form.bias;
  if (problem->zeros)
    kernel->zeros_ =
        align_up({std::max(problem->m, problem->n) * dtype_size(form.dtype)}, {kWorkspaceAlignment});
  HR_TRY(kernel->choose(step));
  return std::unique_ptr<StepKernel>(std::move(kernel));
}

Result<LtPointers> MatmulKernel::pointers(const Addresses& at, std::byte* zeros) const {
  LtPointers pointers;
  for (const LtOperand operand : {kFirst, kSecond, kAddend, kResult}) {
    if (!operands_[operand]) continue;
    const bool is_zeros = problem_.zeros && (operand == kFirst || operand == kSecond);
    pointers.operands[operand] = is_zeros ? zeros : operands_[operand]->at(at);
    if (!pointers.operands[operand]) return internal_error("an operand of a product has no address");
  }
  if (bias_) pointers.bias = bias_->at(at);
  return pointers;
}

const LtMatmul& MatmulKernel::product_for(const LtPointers& at) const {
  for (size_t i = 0; i < kLtOperands; ++i)
    if (!is_aligned(at.operands[i], alignment_.operands[i])) return *unaligned_;
  return is_aligned(at.bias, alignment_.bias) ? *product_ : *unaligned_;
}

Status MatmulKernel::enqueue(const Addresses& at, CUstream stream) const {
  std::byte* zeros = aligned_workspace(at);
  if (problem_.zeros)
    HR_TRY(check(device_->api().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(zeros), 0,
                                                static_cast<size_t>(zeros_.count), stream),
                 "clear an empty product's operands"));
  HR_ASSIGN(const LtPointers first, pointers(at, zeros));
  const LtMatmul& product = product_for(first);
  for (int64_t call = 0; call < problem_.calls(); ++call) {
    LtPointers here = first;
    for (const LtOperand operand : {kFirst, kSecond, kAddend, kResult})
      if (here.operands[operand])
        here.operands[operand] += problem_.shift(operand, call) * dtype_size(problem_.dtype_of(operand));
    HR_TRY(product.enqueue(here, zeros + zeros_.count, stream));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<StepKernel>> make_blas_product(const StepShapes& shapes) {
  return MatmulKernel::make(shapes);
}

}  // namespace headrace::cuda
