#include "kernels/cuda/weight_product.h"

#include "core/error.h"
#include "kernels/cuda/generated_code.h"
#include "kernels/cuda/generated_step.h"
#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/product_step.h"
#include "kernels/cuda/tensor_map.h"
#include "kernels/refused_plan.h"

namespace headrace::cuda {

Result<std::unique_ptr<WeightProduct>> WeightProduct::make(const StepShapes& shapes, const MatmulForm& form,
                                                           int64_t index) {
  const AttributeMap attributes = with_prefix(shapes.step->attributes, product_prefix(index));
  const std::optional<ProductTile> tile = product_tile(attributes);
  if (!tile) return refused_plan("step '{}': product {} is not described", shapes.step->label, index);
  const CudaDevice& device = *shapes.device;
  std::unique_ptr<WeightProduct> none;
  if (tile->shared > device.shared_memory() || (tile->split > 1 && device.sm() < 90)) return none;
  const auto launch = plan_product(form, *tile, attributes.integer(kIndexBits, 32), device.multiprocessors());
  if (!launch) return none;

  auto made = std::make_unique<WeightProduct>();
  made->device_ = &device;
  made->tile_ = *tile;
  made->launch_ = *launch;
  made->name_ = attributes.text(kFunction);
  HR_ASSIGN(made->function_, shapes.code->function(attributes.integer(kModule, -1), made->name_));
  HR_TRY(allow_shared(device, made->function_, tile->shared, made->name_));
  return made;
}

bool WeightProduct::takes(const Addresses& at) const {
  for (const std::optional<StepTensor>& operand : launch_.operands)
    if (operand && reinterpret_cast<uintptr_t>(operand->at(at)) % 16 != 0) return false;
  return true;
}

Status WeightProduct::enqueue(const Addresses& at, CUstream stream) const {
  GeneratedArgs<kProductOperands> arguments = launch_.arguments;
  for (size_t k = 0; k < kProductOperands; ++k) {
    if (!launch_.operands[k]) continue;
    arguments.tensors[k].data = reinterpret_cast<char*>(launch_.operands[k]->at(at));
    if (!arguments.tensors[k].data) return internal_error("operand {} of '{}' has no address", k, name_);
  }
  if (!tile_.mapped) return launch(&arguments, stream);
  MappedArgs<kProductOperands> mapped = {{}, arguments};
  for (size_t k = 0; k < launch_.boxes.size(); ++k) {
    HR_ASSIGN(mapped.maps[k], describe_boxes(*device_, launch_.boxes[k], arguments.tensors[k].data));
  }
  return launch(&mapped, stream);
}

Status WeightProduct::launch(void* arguments, CUstream stream) const {
  KernelLaunch launch;
  launch.grid[0] = launch_.blocks;
  launch.block[0] = static_cast<unsigned>(tile_.threads);
  launch.shared = static_cast<unsigned>(tile_.shared);
  launch.cluster = static_cast<unsigned>(tile_.split);
  return launch_kernel(*device_, function_, launch, arguments, stream, name_);
}

}  // namespace headrace::cuda
