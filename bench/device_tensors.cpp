#include "device_tensors.h"

#include <dlfcn.h>

#include <cstdint>
#include <string>

namespace headrace::bench {

template <class... Arguments>
void DeviceTensors::call(const char* function, Arguments... arguments) const {
  const auto address = reinterpret_cast<int (*)(Arguments...)>(dlsym(driver_, function));
  const int error = address ? address(arguments...) : -1;
  if (error != 0) {
    throw Error(Status(Code::kUnavailable, std::string(function) + " gives error " + std::to_string(error)));
  }
}

DeviceTensors::DeviceTensors() : driver_(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {
  if (!driver_) throw Error(Status(Code::kUnavailable, "there is no NVIDIA driver here"));
  int device = 0;
  void* context = nullptr;
  call("cuInit", 0u);
  call("cuDeviceGet", &device, 0);
  call("cuDevicePrimaryCtxRetain", &context, device);
  call("cuCtxSetCurrent", context);
  constexpr unsigned kNonBlocking = 1;
  call("cuStreamCreate", &stream_, kNonBlocking);
}

// The context stays: the process ends soon.
DeviceTensors::~DeviceTensors() {
  try {
    wait();
    call("cuStreamDestroy_v2", stream_);
    for (const Address memory : memory_) call("cuMemFree_v2", memory);
  } catch (const Error&) {
    // The device has failed, and takes its memory with it.
  }
}

Tensor DeviceTensors::copy(const Tensor& from) {
  Address memory = 0;
  const auto size = static_cast<size_t>(from.size().count);
  call("cuMemAlloc_v2", &memory, size);
  memory_.push_back(memory);
  call("cuMemcpyHtoD_v2", memory, static_cast<const void*>(from.data()), size);
  return Tensor::borrow(reinterpret_cast<void*>(static_cast<uintptr_t>(memory)), from.dtype(), from.shape());
}

void DeviceTensors::wait() const { call("cuStreamSynchronize", stream_); }

}  // namespace headrace::bench
