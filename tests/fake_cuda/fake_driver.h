// A stand-in for libcuda.so.1 over host memory, so that src/device/cuda is tested where there is no GPU.
//
// Streams work at once; captures, graphs, registered memory and what each call refuses follow the driver's
// documentation. There are no kernels. HEADRACE_FAKE_CUDA, read at every call, changes it:
// "version=12040 devices=0 driver_takes=1000 cuMemHostRegister=801", where a function's name gives the error
// that it returns, driver_takes is memory in use beside what was allocated, context what a context takes,
// reservable_mib the addresses that can be reserved in all, and reserves=0 a device that reserves none.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

namespace headrace::fake_cuda {

struct Node {
  CUDA_MEMCPY3D params = {};
  std::vector<size_t> after;
};
struct Graph {
  std::vector<CUgraphNode> handles;  // of nodes, by index
  std::vector<Node> nodes;
};
struct Executable {
  std::vector<Node> nodes;
  std::map<CUgraphNode, size_t> index;
};
struct Capture {
  cuuint64_t id;
  Graph* graph;
  bool open = true, broken = false;
};
struct Stream {
  Capture* capture = nullptr;  // perhaps one that is over
  bool origin = false;
  std::vector<size_t> last;
  std::vector<CUgraphNode> last_handles;
  bool capturing() const { return capture && capture->open; }
};
struct Event {
  Capture* capture = nullptr;
  std::vector<size_t> last;
};

// Memory without an address, and a place where it is mapped.
struct Created {
  size_t size = 0;
  int references = 0;  // its handle, and where it is mapped
};
struct Mapped {
  size_t size = 0;
  CUmemGenericAllocationHandle memory = 0;
};

// The driver's whole state; never freed, as the driver's own is not.
struct State {
  std::mutex mutex;
  std::map<std::byte*, size_t> device, pinned, registered, reserved;
  std::map<std::byte*, Mapped> mapped;
  std::map<CUmemGenericAllocationHandle, Created> created;
  CUmemGenericAllocationHandle handles = 0;
  size_t used = 0;
  int retained = 0;  // of the context
  cuuint64_t captures = 0;
  uintptr_t nodes = 0;
  std::map<CUgraphNode, CUDA_MEMCPY3D> copies;  // of graphs that are not destroyed
  Stream standard;                              // the default stream
  static thread_local int contexts;             // pushed
};
State& state();
// The error that HEADRACE_FAKE_CUDA asks `function` for, else CUDA_SUCCESS.
CUresult asked(const char* function);
int setting(const char* name, int otherwise);

CUresult do_copy(const CUDA_MEMCPY3D& params);
inline constexpr size_t kTotalMemory = size_t{8} << 30;

}  // namespace headrace::fake_cuda
