// The CUDA driver, opened at run time: libcuda is never linked, so the same library runs where there is none.
#pragma once

#include <cuda.h>

#include <string_view>

#include <headrace/status.h>

namespace headrace::cuda {

// The functions that we call, by the driver's own names.
// clang-format off
#define HEADRACE_CUDA_FUNCTIONS(X)                                                                         \
  X(cuInit) X(cuDriverGetVersion) X(cuGetErrorName) X(cuGetErrorString)                                    \
  X(cuDeviceGet) X(cuDeviceGetCount) X(cuDeviceGetName) X(cuDeviceGetAttribute) X(cuDeviceTotalMem)        \
  X(cuDeviceGetPCIBusId) X(cuDevicePrimaryCtxGetState)                                                     \
  X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease)                                                 \
  X(cuCtxPushCurrent) X(cuCtxPopCurrent) X(cuCtxSynchronize)                                               \
  X(cuMemAlloc) X(cuMemFree) X(cuMemGetInfo) X(cuMemAllocHost) X(cuMemFreeHost)                            \
  X(cuMemGetAllocationGranularity) X(cuMemAddressReserve) X(cuMemAddressFree)                              \
  X(cuMemCreate) X(cuMemRelease) X(cuMemMap) X(cuMemUnmap) X(cuMemSetAccess)                               \
  X(cuMemHostRegister) X(cuMemHostUnregister) X(cuMemHostGetDevicePointer) X(cuPointerGetAttribute)        \
  X(cuMemcpyAsync) X(cuMemsetD8Async)                                                                      \
  X(cuStreamCreate) X(cuStreamDestroy) X(cuStreamSynchronize) X(cuStreamWaitEvent)                         \
  X(cuStreamBeginCapture) X(cuStreamEndCapture) X(cuStreamGetCaptureInfo) X(cuStreamIsCapturing)           \
  X(cuEventCreate) X(cuEventDestroy) X(cuEventRecord) X(cuEventSynchronize) X(cuEventElapsedTime)          \
  X(cuGraphInstantiate) X(cuGraphExecDestroy) X(cuGraphDestroy) X(cuGraphLaunch) X(cuGraphUpload)          \
  X(cuGraphExecMemcpyNodeSetParams) X(cuGraphMemcpyNodeGetParams)                                          \
  X(cuModuleLoadData) X(cuModuleUnload) X(cuModuleGetFunction) X(cuFuncSetAttribute) X(cuFuncGetAttribute) \
  X(cuLaunchKernelEx) X(cuOccupancyMaxActiveBlocksPerMultiprocessor) X(cuTensorMapEncodeTiled)
// clang-format on

struct Driver {
#define HEADRACE_CUDA_MEMBER(name) decltype(&::name) name;
  HEADRACE_CUDA_FUNCTIONS(HEADRACE_CUDA_MEMBER)
#undef HEADRACE_CUDA_MEMBER
};

// Opened and initialised on first use. Errors: kUnavailable: no driver, or one too old, with what was found.
Result<const Driver*> driver();

// The same with a library of that name, and opened anew.
Result<Driver> load_driver(const char* path);

// ok for CUDA_SUCCESS; else what was asked, with the driver's name and text of the error. Out of memory is
// kExhausted, all else kUnavailable.
Status check(CUresult result, std::string_view what);

}  // namespace headrace::cuda
