// StepKernel: one step of a cuda plan, made for one set of shapes.
//
// Each family of kernels gives a table of rows; kernels.cpp joins them. A step's `kernel` names its row. The
// lowering (lowering/cuda) writes only steps that these rows take: library_support.h says which.
#pragma once

#include <cuda.h>

#include <memory>
#include <span>
#include <string_view>

#include <headrace/status.h>
#include "device/cuda/cuda_device.h"
#include "kernels/step_form.h"
#include "kernels/tuning.h"

namespace headrace::cuda {

class GeneratedCode;
class Libraries;

// All that a kernel is made from. The device's context is current while a row's make() runs.
struct StepShapes : StepForm {
  DimBindings opt;  // the profile's opt
  CudaDevice* device = nullptr;
  Libraries* libraries = nullptr;       // cuBLASLt, cuDNN and what was tuned
  Tuning* tuning = nullptr;             // the engine's
  const GeneratedCode* code = nullptr;  // Plan::code on the device; outlives the kernel
};

// Threads: enqueue is const; calls with different addresses may overlap.
class StepKernel {
 public:
  virtual ~StepKernel() = default;
  virtual Bytes workspace() const { return {}; }  // scratch that enqueue() needs at Addresses::workspace
  // Puts the step on `stream`: allocates nothing, waits for nothing, reads no device memory, so that it may
  // be captured. The device's context is current.
  virtual Status enqueue(const Addresses& at, CUstream stream) const = 0;
};

struct KernelRow {
  std::string_view name;
  // Errors: kCorrupt where the step is malformed (wrong counts, dtypes, attributes): plans come from files;
  // kUnsupported where the library has nothing for it.
  Result<std::unique_ptr<StepKernel>> (*make)(const StepShapes& shapes);
};

// Parts of steps. A product by cuBLASLt, with the epilogues that it has; a generated kernel.
Result<std::unique_ptr<StepKernel>> make_blas_product(const StepShapes& shapes);
Result<std::unique_ptr<StepKernel>> make_generated(const StepShapes& shapes);

// One function a family.
std::span<const KernelRow> matmul_kernels();     // matmul (cuBLASLt, and kernels of ours)
std::span<const KernelRow> cudnn_kernels();      // conv, attention (cuDNN)
std::span<const KernelRow> generated_kernels();  // generated: functions of Plan::code

}  // namespace headrace::cuda
