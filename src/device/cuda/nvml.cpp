#include "device/cuda/nvml.h"

#include <dlfcn.h>

namespace headrace::cuda {

Nvml::Nvml(const std::string& pci_bus_id) : library_(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
  if (!library_) return;
  const auto start = reinterpret_cast<int (*)()>(dlsym(library_, "nvmlInit_v2"));
  const auto open =
      reinterpret_cast<int (*)(const char*, void**)>(dlsym(library_, "nvmlDeviceGetHandleByPciBusId_v2"));
  ask_ = reinterpret_cast<int (*)(void*, Memory*)>(dlsym(library_, "nvmlDeviceGetMemoryInfo"));
  const auto stop = reinterpret_cast<int (*)()>(dlsym(library_, "nvmlShutdown"));
  if (!start || !open || !ask_ || !stop || start() != 0) return;
  stop_ = stop;
  if (open(pci_bus_id.c_str(), &device_) != 0) device_ = nullptr;
}

Nvml::~Nvml() {
  if (stop_) (void)stop_();
  if (library_) dlclose(library_);
}

std::optional<Bytes> Nvml::used() const {
  Memory memory = {};
  if (!device_ || ask_(device_, &memory) != 0) return std::nullopt;
  return Bytes{static_cast<int64_t>(memory.used)};
}

}  // namespace headrace::cuda
