// ProductKernel: a matrix product or convolution by oneDNN, as it runs. How one is put to oneDNN is decided
// in matmul_kernel.cpp and conv_kernel.cpp.
#pragma once

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/staging.h"
#include "kernels/cpu/step_kernel.h"

namespace headrace::cpu {

// The weight of a product: packed when it was compiled, or plain; widened and laid out anew in each run where
// the primitive takes it otherwise than it lies.
class ProductWeight {
 public:
  // The bytes that the step reads, packed by `pack`. f16 is widened to `compute`.
  // Errors: kIncompatible (packed for another machine or library), kCorrupt.
  static Result<ProductWeight> packed(const StepShapes& step, const StepTensor& bytes, const RecipeStep& pack,
                                      DType compute, WorkspacePlan& workspace);
  // `layout` is that of the operand's data.
  static ProductWeight plain(Operand operand, dnnl::memory::desc layout);

  const dnnl::memory::desc& layout() const { return layout_; }  // as it lies, once widened
  // For a primitive that wants it as `wanted`.
  Status reorder(const dnnl::memory::desc& wanted, WorkspacePlan& workspace);
  Result<const std::byte*> load(const Addresses& at) const;

 private:
  Operand operand_;
  dnnl::memory::desc layout_;
  std::optional<Reorder> reorder_;
  int64_t block_ = 0, scratch_ = 0;  // of reorder_, in the workspace
};

// All of a run. `x` and `y` are oneDNN's source and destination.
struct ProductRun {
  Operand x, y;
  ProductWeight weight;
  std::optional<Operand> bias;
  std::optional<StepTensor> residual;
  std::optional<Stage> copied_residual;   // into y first, and summed; else it is added as it lies
  std::optional<BlockFunction> function;  // an epilogue that oneDNN lacks
  std::shared_ptr<const ProductPrimitive> primitive;
  WorkspacePlan workspace;
};

class ProductKernel : public StepKernel {
 public:
  explicit ProductKernel(ProductRun run);
  bool slow() const { return run_.primitive->slow; }
  Bytes workspace() const override { return run_.workspace.size(); }
  Status run(const Addresses& at) const override;

 private:
  ProductRun run_;
  int64_t scratch_ = 0;
};

}  // namespace headrace::cpu
