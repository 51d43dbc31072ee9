// WeightProduct: a product with a weight by a kernel of ours (lowering/cuda/device/weight_products.cuh, and
// wide_products.cuh, whose blocks walk the tiles).
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/product_launch.h"
#include "kernels/cuda/step_kernel.h"

namespace headrace::cuda {

class WeightProduct : public StepKernel {
 public:
  // The `index`-th kernel of a step; nullptr where its sizes or strides are not those that the kernel is for,
  // or the device lacks what it needs. `form` is the step's. Errors: kCorrupt.
  static Result<std::unique_ptr<WeightProduct>> make(const StepShapes& shapes, const MatmulForm& form,
                                                     int64_t index);

  const std::string& function() const { return name_; }
  // Whether every operand lies as the kernel's loads need.
  bool takes(const Addresses& at) const;
  Status enqueue(const Addresses& at, CUstream stream) const override;

 private:
  Status launch(void* arguments, CUstream stream) const;

  const CudaDevice* device_ = nullptr;
  std::string name_;
  CUfunction function_ = nullptr;
  ProductTile tile_;
  ProductLaunch launch_;
};

}  // namespace headrace::cuda
