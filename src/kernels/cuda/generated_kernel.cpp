// Steps "generated": kernels that lowering/cuda wrote and NVRTC compiled.
#include <array>

#include "core/error.h"
#include "kernels/cuda/generated_code.h"
#include "kernels/cuda/generated_launch.h"
#include "kernels/cuda/generated_step.h"
#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/step_kernel.h"
#include "kernels/refused_plan.h"

namespace headrace::cuda {

namespace {

using Arguments = GeneratedArgs<kGeneratedOperands>;
static_assert(sizeof(Arguments) <= 4096, "what any driver takes as a kernel's parameters");

class GeneratedKernel : public StepKernel {
 public:
  static Result<std::unique_ptr<StepKernel>> make(const StepShapes& shapes) {
    auto kernel = std::make_unique<GeneratedKernel>(*shapes.device);
    const Step& step = *shapes.step;
    if (shapes.inputs.size() + shapes.outputs.size() > kGeneratedOperands)
      return refused_plan("step '{}' has {} operands", step.label,
                          shapes.inputs.size() + shapes.outputs.size());
    kernel->operands_ = shapes.inputs;
    for (const StepTensor& output : shapes.outputs) kernel->operands_.emplace_back(output);
    std::vector<std::optional<GeneratedOperand>> operands;
    for (const auto& tensor : kernel->operands_) {
      auto& operand = operands.emplace_back();
      if (tensor) operand = {tensor->dtype, tensor->shape, tensor->strides};
    }
    HR_ASSIGN(kernel->launches_, plan_launches(step.attributes, step.label, operands, shapes.outputs.size(),
                                               shapes.dims, shapes.device->multiprocessors()));
    kernel->name_ = step.attributes.text(kFunction);
    HR_ASSIGN(kernel->function_, shapes.code->function(step.attributes.integer(kModule, -1), kernel->name_));
    HR_TRY(kernel->take_shared(step));
    return std::unique_ptr<StepKernel>(std::move(kernel));
  }

  explicit GeneratedKernel(const CudaDevice& device) : device_(device) {}

  Status enqueue(const Addresses& at, CUstream stream) const override {
    std::array<char*, kGeneratedOperands> addresses = {};
    bool aligned = launches_.vector.has_value();
    for (size_t k = 0; k < operands_.size(); ++k) {
      if (!operands_[k]) continue;
      addresses[k] = reinterpret_cast<char*>(operands_[k]->at(at));
      if (!addresses[k] && operands_[k]->elements() > 0)
        return internal_error("operand {} of '{}' has no address", k, name_);
      if (aligned) aligned = reinterpret_cast<uintptr_t>(addresses[k]) % launches_.alignment[k] == 0;
    }
    const GeneratedLaunch& launch = aligned ? *launches_.vector : launches_.scalar;
    Arguments arguments;
    arguments.head = launch.head;
    for (size_t k = 0; k < operands_.size(); ++k) {
      arguments.tensors[k] = launch.tensors[k];
      arguments.tensors[k].data = addresses[k];
    }
    return launch_kernel(device_, function_, {launch.grid, launch.block, launch.shared}, &arguments, stream,
                         name_);
  }

 private:
  Status take_shared(const Step& step) {
    const int64_t shared = launches_.scalar.shared;
    if (shared == 0) return {};
    if (shared > device_.shared_memory())
      return refused_plan("step '{}' asks for {} bytes of shared memory, of {}", step.label, shared,
                          device_.shared_memory());
    return allow_shared(device_, function_, shared, name_);
  }

  const CudaDevice& device_;
  std::vector<std::optional<StepTensor>> operands_;  // inputs, then outputs
  GeneratedLaunches launches_;
  std::string name_;
  CUfunction function_ = nullptr;
};

constexpr KernelRow kRows[] = {{kGenerated, GeneratedKernel::make}};

}  // namespace

Result<std::unique_ptr<StepKernel>> make_generated(const StepShapes& shapes) {
  return GeneratedKernel::make(shapes);
}
std::span<const KernelRow> generated_kernels() { return kRows; }

}  // namespace headrace::cuda
