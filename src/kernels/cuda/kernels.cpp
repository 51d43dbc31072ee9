// The plan's driver: one StepKernel a step.
#include <array>

#include "core/error.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/fingerprint.h"
#include "kernels/cuda/generated_code.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/step_kernel.h"
#include "kernels/refused_plan.h"

namespace headrace::cuda {

namespace {

const KernelRow* find_row(std::string_view name) {
  static const std::array tables = {matmul_kernels(), cudnn_kernels(), generated_kernels()};
  for (const std::span<const KernelRow> table : tables)
    for (const KernelRow& row : table)
      if (row.name == name) return &row;
  return nullptr;
}

// What the kernels of a plan borrow.
struct LoadedPlan {
  std::shared_ptr<Libraries> libraries;  // and the device with them
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const GeneratedCode> code;
};

class CudaPrepared : public Prepared {
 public:
  explicit CudaPrepared(LoadedPlan loaded) : loaded_(std::move(loaded)) {}
  ~CudaPrepared() override {
    const CurrentContext current(loaded_.libraries->device());
    kernels_.clear();
  }

  Bytes workspace(StepIndex step) const override {
    const auto& kernel = kernels_[static_cast<size_t>(step)];
    return kernel ? kernel->workspace() : Bytes{};
  }
  Status enqueue(StepIndex step, const Addresses& at, Queue& queue) const override {
    const auto& kernel = kernels_[static_cast<size_t>(step)];
    if (!kernel) return {};
    const CurrentContext current(loaded_.libraries->device());
    const Status status = kernel->enqueue(at, static_cast<CudaQueue&>(queue).stream());
    if (status.ok()) return {};
    const Step& named = loaded_.plan->steps[static_cast<size_t>(step)];
    return status.with_context(fmt::format("step '{}' ({})", named.label, named.kernel));
  }
  void add(std::unique_ptr<StepKernel> kernel) { kernels_.push_back(std::move(kernel)); }

 private:
  LoadedPlan loaded_;
  std::vector<std::unique_ptr<StepKernel>> kernels_;  // by step; nullptr: nothing to do
};

class CudaExecutable : public Executable {
 public:
  explicit CudaExecutable(LoadedPlan loaded) : loaded_(std::move(loaded)) {}

  Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int) override {
    const CurrentContext current(loaded_.libraries->device());
    auto prepared = std::make_shared<CudaPrepared>(loaded_);
    StepShapes shapes;
    shapes.plan = loaded_.plan.get();
    shapes.dims = dims;
    shapes.opt = opt_bindings(loaded_.plan->symbols);
    shapes.device = &loaded_.libraries->device();
    shapes.libraries = loaded_.libraries.get();
    shapes.code = loaded_.code.get();
    for (const Step& step : loaded_.plan->steps) {
      HR_TRY(evaluate_tensors(step, shapes));
      std::unique_ptr<StepKernel> kernel;
      if (!shapes.empty()) {
        Result<std::unique_ptr<StepKernel>> made = find_row(step.kernel)->make(shapes);
        if (!made.ok())
          return made.status().with_context(fmt::format("prepare step '{}' ({})", step.label, step.kernel));
        kernel = *std::move(made);
      }
      prepared->add(std::move(kernel));
    }
    return std::shared_ptr<const Prepared>(std::move(prepared));
  }

 private:
  LoadedPlan loaded_;
};

class CudaKernels : public Kernels {
 public:
  explicit CudaKernels(std::shared_ptr<Libraries> libraries) : libraries_(std::move(libraries)) {}

  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    const CudaDevice& device = libraries_->device();
    if (plan->backend != "cuda")
      return incompatible("the engine is for the {} back end, not for cuda; compile the model for cuda:sm_{}",
                          plan->backend, device.sm());
    if (const std::string here = fingerprint(device.sm()); plan->fingerprint != here)
      return incompatible(
          "the engine was compiled for '{}', and this device ({}) is '{}'; compile the model for cuda:sm_{}",
          plan->fingerprint, device.name(), here, device.sm());
    for (const Step& step : plan->steps)
      if (!find_row(step.kernel))
        return refused_plan("step '{}' asks for the kernel '{}', which the cuda back end does not have",
                            step.label, step.kernel);
    HR_ASSIGN(std::shared_ptr<const GeneratedCode> code, GeneratedCode::load(device, plan->code));
    return std::unique_ptr<Executable>(
        std::make_unique<CudaExecutable>(LoadedPlan{libraries_, std::move(plan), std::move(code)}));
  }

 private:
  std::shared_ptr<Libraries> libraries_;
};

}  // namespace

std::unique_ptr<Kernels> make_kernels(std::shared_ptr<Libraries> libraries) {
  return std::make_unique<CudaKernels>(std::move(libraries));
}

}  // namespace headrace::cuda
