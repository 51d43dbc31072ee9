// The run plug-in: what app opens when a CUDA device is asked for.
#include "kernels/plugin.h"

#include <cstring>
#include <map>
#include <mutex>

#include "core/build_id.h"
#include "core/error.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/libraries.h"

namespace headrace::cuda {
namespace {

// Devices and libraries are shared by all engines on a device, so that bytes are counted once and handles are
// opened once; they go with the last engine.
class CudaRunPlugin : public RunPlugin {
 public:
  Result<std::shared_ptr<Device>> device(int index) const override {
    HR_ASSIGN(std::shared_ptr<CudaDevice> device, cuda_device(index));
    return std::shared_ptr<Device>(std::move(device));
  }
  Result<std::string> target(int index) const override {
    HR_ASSIGN(const std::shared_ptr<CudaDevice> device, cuda_device(index));
    return fmt::format("sm_{}", device->sm());
  }
  std::unique_ptr<Kernels> kernels(std::shared_ptr<Device> device,
                                   std::shared_ptr<Tuning> tuning) const override {
    auto cuda = std::static_pointer_cast<CudaDevice>(std::move(device));
    const std::lock_guard lock(mutex_);
    std::weak_ptr<Libraries>& kept = libraries_[cuda.get()];
    std::shared_ptr<Libraries> libraries = kept.lock();
    if (!libraries) {
      const std::string place = tuning_place(*cuda);
      std::shared_ptr<TuningChoices>& choices = choices_[place];
      if (!choices) choices = std::make_shared<TuningChoices>(place);
      kept = libraries = std::make_shared<Libraries>(std::move(cuda), choices);
    }
    return make_kernels(std::move(libraries), std::move(tuning));
  }

 private:
  Result<std::shared_ptr<CudaDevice>> cuda_device(int index) const {
    const std::lock_guard lock(mutex_);
    std::weak_ptr<CudaDevice>& kept = devices_[index];
    if (std::shared_ptr<CudaDevice> device = kept.lock()) return device;
    HR_ASSIGN(std::shared_ptr<CudaDevice> device, make_cuda_device(index));
    kept = device;
    return device;
  }

  mutable std::mutex mutex_;
  mutable std::map<std::string, std::shared_ptr<TuningChoices>> choices_;  // by place
  mutable std::map<int, std::weak_ptr<CudaDevice>> devices_;
  mutable std::map<const CudaDevice*, std::weak_ptr<Libraries>> libraries_;
};

}  // namespace
}  // namespace headrace::cuda

extern "C" const headrace::RunPlugin* headrace_run_plugin(const char* build_id) {
  static const headrace::cuda::CudaRunPlugin plugin;
  return std::strcmp(build_id, headrace::kBuildId) == 0 ? &plugin : nullptr;
}
