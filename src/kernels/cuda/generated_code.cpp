#include "kernels/cuda/generated_code.h"

#include "core/error.h"
#include "kernels/cuda/generated_step.h"
#include "kernels/refused_plan.h"

namespace headrace::cuda {

Result<std::shared_ptr<const GeneratedCode>> GeneratedCode::load(const CudaDevice& device,
                                                                 std::span<const std::byte> code) {
  auto loaded = std::make_shared<GeneratedCode>(device);
  if (code.empty()) return std::shared_ptr<const GeneratedCode>(std::move(loaded));
  const auto binaries = unpack_code(code);
  if (!binaries) return refused_plan("the engine's kernel binaries cannot be read");
  const CurrentContext current(device);
  for (size_t i = 0; i < binaries->size(); ++i) {
    const std::span<const std::byte> binary = (*binaries)[i];
    // A copy, on 8 bytes and with a zero behind it: the driver reads headers in place and takes no size.
    std::vector<uint64_t> aligned(binary.size() / sizeof(uint64_t) + 2, 0);
    std::memcpy(aligned.data(), binary.data(), binary.size());
    CUmodule module = nullptr;
    HR_TRY(check(device.api().cuModuleLoadData(&module, aligned.data()),
                 fmt::format("load binary {} of the engine's {} kernel binaries on {} (sm_{})", i,
                             binaries->size(), device.name(), device.sm())));
    loaded->modules_.push_back(module);
  }
  return std::shared_ptr<const GeneratedCode>(std::move(loaded));
}

GeneratedCode::~GeneratedCode() {
  if (modules_.empty()) return;
  const CurrentContext current(device_);
  for (const CUmodule module : modules_) device_.api().cuModuleUnload(module);
}

Result<CUfunction> GeneratedCode::function(int64_t module, const std::string& name) const {
  if (module < 0 || module >= static_cast<int64_t>(modules_.size()))
    return refused_plan("the function '{}' is in kernel binary {} of {}", name, module, modules_.size());
  CUfunction function = nullptr;
  const CUresult result =
      device_.api().cuModuleGetFunction(&function, modules_[static_cast<size_t>(module)], name.c_str());
  if (result == CUDA_ERROR_NOT_FOUND)
    return refused_plan("kernel binary {} has no function '{}'", module, name);
  HR_TRY(check(result, fmt::format("look for the function '{}'", name)));
  return function;
}

}  // namespace headrace::cuda
