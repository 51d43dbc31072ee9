// A stand-in for libnvidia-ml.so.1 beside the fake driver: HEADRACE_FAKE_CUDA's "context=N" bytes are in use
// on the device while its context lives, and some megabytes always.
#include <cstring>

#include "fake_driver.h"

using namespace headrace::fake_cuda;

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  *device = &state();
  return std::strcmp(id, "0000:0F:00.0") == 0 ? 0 : 6;  // NVML_ERROR_NOT_FOUND
}
int nvmlDeviceGetMemoryInfo(void*, unsigned long long* memory) {
  const std::lock_guard lock(state().mutex);
  const auto used = (7ull << 20) + (state().retained > 0 ? static_cast<unsigned>(setting("context", 0)) : 0);
  memory[0] = kTotalMemory;
  memory[1] = kTotalMemory - used;
  memory[2] = used;
  return 0;
}

}  // extern "C"
