#include "fake_driver.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace headrace::fake_cuda {

thread_local int State::contexts = 0;

State& state() {
  static State* const all = new State;
  return *all;
}

int setting(const char* name, int otherwise) {
  const char* text = std::getenv("HEADRACE_FAKE_CUDA");
  if (!text) return otherwise;
  const std::string all = std::string(" ") + text, key = std::string(" ") + name + "=";
  const size_t at = all.find(key);
  return at == std::string::npos ? otherwise : std::atoi(all.c_str() + at + key.size());
}

CUresult asked(const char* function) {
  const std::string name(function);  // cuda.h may have made cuMemAlloc_v2 of cuMemAlloc
  return static_cast<CUresult>(setting(name.substr(0, name.find("_v")).c_str(), CUDA_SUCCESS));
}

namespace {

// The run of `runs` that holds `at`.
auto find(const std::map<std::byte*, size_t>& runs, const std::byte* at) {
  auto next = runs.upper_bound(const_cast<std::byte*>(at));
  if (next == runs.begin()) return runs.end();
  --next;
  return at < next->first + next->second ? next : runs.end();
}

// Whether a copy may touch it: what begins in known memory must end there.
bool inside(const std::byte* at, size_t size) {
  for (const auto* runs : {&state().device, &state().pinned, &state().registered}) {
    const auto run = find(*runs, at);
    if (run != runs->end()) return at + size <= run->first + run->second;
  }
  return at != nullptr;
}

}  // namespace

CUresult do_copy(const CUDA_MEMCPY3D& params) {
  auto* const to = reinterpret_cast<std::byte*>(params.dstDevice);
  const auto* const from = reinterpret_cast<const std::byte*>(params.srcDevice);
  if (!inside(to, params.WidthInBytes) || !inside(from, params.WidthInBytes)) return CUDA_ERROR_INVALID_VALUE;
  std::memmove(to, from, params.WidthInBytes);
  return CUDA_SUCCESS;
}

}  // namespace headrace::fake_cuda

using namespace headrace::fake_cuda;

#define BEGIN(function)                                      \
  if (const CUresult error = asked(#function)) return error; \
  [[maybe_unused]] const std::lock_guard lock(state().mutex)
#define BEGIN_IN_CONTEXT(function) \
  BEGIN(function);                 \
  if (State::contexts == 0) return CUDA_ERROR_INVALID_CONTEXT

extern "C" {

CUresult cuInit(unsigned) {
  BEGIN(cuInit);
  return setting("devices", 1) == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}
CUresult cuDriverGetVersion(int* version) {
  *version = setting("version", CUDA_VERSION);
  return CUDA_SUCCESS;
}
CUresult cuGetErrorName(CUresult error, const char** text) {
  switch (error) {
    case CUDA_ERROR_INVALID_VALUE: return *text = "CUDA_ERROR_INVALID_VALUE", CUDA_SUCCESS;
    case CUDA_ERROR_OUT_OF_MEMORY: return *text = "CUDA_ERROR_OUT_OF_MEMORY", CUDA_SUCCESS;
    case CUDA_ERROR_NO_DEVICE: return *text = "CUDA_ERROR_NO_DEVICE", CUDA_SUCCESS;
    case CUDA_ERROR_ILLEGAL_ADDRESS: return *text = "CUDA_ERROR_ILLEGAL_ADDRESS", CUDA_SUCCESS;
    case CUDA_ERROR_NOT_SUPPORTED: return *text = "CUDA_ERROR_NOT_SUPPORTED", CUDA_SUCCESS;
    case CUDA_ERROR_STREAM_CAPTURE_UNJOINED:
      return *text = "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", CUDA_SUCCESS;
    default: return *text = nullptr, CUDA_ERROR_INVALID_VALUE;
  }
}
CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == CUDA_ERROR_ILLEGAL_ADDRESS ? "an illegal memory access was encountered"
                                              : "as the fake driver says";
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
  *count = setting("devices", 1);
  return CUDA_SUCCESS;
}
CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return ordinal < setting("devices", 1) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
CUresult cuDeviceGetName(char* name, int size, CUdevice) {
  std::strncpy(name, "fake GPU", static_cast<size_t>(size));
  return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem(size_t* bytes, CUdevice) {
  *bytes = kTotalMemory;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  BEGIN(cuDeviceGetAttribute);
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return *value = 9, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return *value = 0, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return *value = 132, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: return *value = 232448, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
      return *value = setting("reserves", 1), CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}
CUresult cuDeviceGetPCIBusId(char* id, int size, CUdevice) {
  std::strncpy(id, "0000:0F:00.0", static_cast<size_t>(size));
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxGetState(CUdevice, unsigned* flags, int* active) {
  BEGIN(cuDevicePrimaryCtxGetState);
  *flags = 0;
  *active = state().retained > 0;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  BEGIN(cuDevicePrimaryCtxRetain);
  *context = reinterpret_cast<CUcontext>(&state());
  ++state().retained;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice) {
  BEGIN(cuDevicePrimaryCtxRelease);
  --state().retained;
  return CUDA_SUCCESS;
}
CUresult cuCtxPushCurrent(CUcontext) {
  ++State::contexts;
  return CUDA_SUCCESS;
}
CUresult cuCtxPopCurrent(CUcontext* context) {
  if (State::contexts == 0) return CUDA_ERROR_INVALID_CONTEXT;
  --State::contexts;
  *context = reinterpret_cast<CUcontext>(&state());
  return CUDA_SUCCESS;
}
CUresult cuCtxSynchronize() {
  BEGIN_IN_CONTEXT(cuCtxSynchronize);
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr* data, size_t size) {
  BEGIN_IN_CONTEXT(cuMemAlloc);
  if (size == 0) return CUDA_ERROR_INVALID_VALUE;
  if (size > kTotalMemory - state().used) return CUDA_ERROR_OUT_OF_MEMORY;
  void* made = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (made == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  state().device[static_cast<std::byte*>(made)] = size;
  state().used += size;
  *data = reinterpret_cast<CUdeviceptr>(made);
  return CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr data) {
  BEGIN_IN_CONTEXT(cuMemFree);
  const auto run = state().device.extract(reinterpret_cast<std::byte*>(data));
  if (!run) return CUDA_ERROR_INVALID_VALUE;
  munmap(run.key(), run.mapped());
  state().used -= run.mapped();
  return CUDA_SUCCESS;
}
CUresult cuMemGetInfo(size_t* free, size_t* total) {
  BEGIN_IN_CONTEXT(cuMemGetInfo);
  *free = kTotalMemory - state().used - static_cast<size_t>(setting("driver_takes", 0));
  *total = kTotalMemory;
  return CUDA_SUCCESS;
}
CUresult cuMemAllocHost(void** data, size_t size) {
  BEGIN_IN_CONTEXT(cuMemAllocHost);
  *data = std::aligned_alloc(4096, (size + 4095) / 4096 * 4096);
  if (!*data) return CUDA_ERROR_OUT_OF_MEMORY;
  state().pinned[static_cast<std::byte*>(*data)] = size;
  return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void* data) {
  BEGIN_IN_CONTEXT(cuMemFreeHost);
  if (state().pinned.erase(static_cast<std::byte*>(data)) == 0) return CUDA_ERROR_INVALID_VALUE;
  std::free(data);
  return CUDA_SUCCESS;
}
CUresult cuMemHostRegister(void* data, size_t size, unsigned flags) {
  BEGIN_IN_CONTEXT(cuMemHostRegister);
  // Of maps that only read, which is what is registered here.
  if ((flags & CU_MEMHOSTREGISTER_READ_ONLY) == 0) return CUDA_ERROR_NOT_SUPPORTED;
  if (!state().registered.emplace(static_cast<std::byte*>(data), size).second) {
    return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  }
  return CUDA_SUCCESS;
}
CUresult cuMemHostUnregister(void* data) {
  BEGIN_IN_CONTEXT(cuMemHostUnregister);
  const bool known = state().registered.erase(static_cast<std::byte*>(data)) > 0;
  return known ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}
CUresult cuMemHostGetDevicePointer(CUdeviceptr* there, void* data, unsigned) {
  BEGIN_IN_CONTEXT(cuMemHostGetDevicePointer);
  if (find(state().registered, static_cast<std::byte*>(data)) == state().registered.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *there = reinterpret_cast<CUdeviceptr>(data);
  return CUDA_SUCCESS;
}
CUresult cuPointerGetAttribute(void* value, CUpointer_attribute attribute, CUdeviceptr at) {
  BEGIN_IN_CONTEXT(cuPointerGetAttribute);
  const auto* data = reinterpret_cast<const std::byte*>(at);
  const bool device = find(state().device, data) != state().device.end();
  if (!device && find(state().pinned, data) == state().pinned.end() &&
      find(state().registered, data) == state().registered.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (attribute == CU_POINTER_ATTRIBUTE_MEMORY_TYPE) {
    *static_cast<unsigned*>(value) = device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
  } else if (attribute == CU_POINTER_ATTRIBUTE_IS_MANAGED) {
    *static_cast<unsigned*>(value) = 0;
  } else if (attribute == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) {
    *static_cast<int*>(value) = 0;
  } else {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

// Kernels: none.
CUresult cuModuleLoadData(CUmodule*, const void*) { return CUDA_ERROR_NOT_SUPPORTED; }
CUresult cuModuleUnload(CUmodule) { return CUDA_ERROR_NOT_SUPPORTED; }
CUresult cuModuleGetFunction(CUfunction*, CUmodule, const char*) { return CUDA_ERROR_NOT_SUPPORTED; }
CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute, int) { return CUDA_ERROR_NOT_SUPPORTED; }
CUresult cuFuncGetAttribute(int*, CUfunction_attribute, CUfunction) { return CUDA_ERROR_NOT_SUPPORTED; }
CUresult cuLaunchKernelEx(const CUlaunchConfig*, CUfunction, void**, void**) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int*, CUfunction, int, size_t) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult cuTensorMapEncodeTiled(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                                const cuuint64_t*, const cuuint32_t*, const cuuint32_t*,
                                CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                                CUtensorMapFloatOOBfill) {
  return CUDA_ERROR_NOT_SUPPORTED;
}

}  // extern "C"
