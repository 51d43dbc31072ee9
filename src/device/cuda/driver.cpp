#include "device/cuda/driver.h"

#include <dlfcn.h>

#include "core/error.h"

namespace headrace::cuda {
namespace {

// A driver runs what was made for its own major version of CUDA, and for older ones.
constexpr int kNeeded = CUDA_VERSION / 1000 * 1000;

Status check_with(const Driver& api, CUresult result, std::string_view what) {
  if (result == CUDA_SUCCESS) return {};
  const char *name = nullptr, *text = nullptr;
  if (api.cuGetErrorName(result, &name) != CUDA_SUCCESS || !name) name = "an unknown error";
  if (api.cuGetErrorString(result, &text) != CUDA_SUCCESS || !text) text = "the driver has no text for it";
  const Code code = result == CUDA_ERROR_OUT_OF_MEMORY ? Code::kExhausted : Code::kUnavailable;
  return Status(code, fmt::format("{}: {} ({}): {}", what, name, static_cast<int>(result), text));
}

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

Status find_functions(void* library, const char* path, Driver& api) {
  // Two macros, so that cuda.h's own ones take effect first: cuMemAlloc means cuMemAlloc_v2.
#define HEADRACE_CUDA_TEXT(name) #name
#define HEADRACE_CUDA_FIND(name)                                                                          \
  api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, HEADRACE_CUDA_TEXT(name)));              \
  if (!api.name) {                                                                                        \
    return unavailable(                                                                                   \
        "the NVIDIA driver ({}) has no {}: it is older than CUDA {}, which is needed; update the driver", \
        path, HEADRACE_CUDA_TEXT(name), version_text(kNeeded));                                           \
  }
  HEADRACE_CUDA_FUNCTIONS(HEADRACE_CUDA_FIND)
#undef HEADRACE_CUDA_FIND
#undef HEADRACE_CUDA_TEXT
  return {};
}

}  // namespace

Result<Driver> load_driver(const char* path) {
  // Never closed: the driver keeps threads and handlers of its own.
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = dlerror();
    return unavailable("there is no NVIDIA driver here: {}; install one, or choose another device",
                       why ? why : path);
  }
  Driver api = {};
  // Of all functions these are the oldest, so that a driver that is too old can say so itself.
  int version = 0;
  if (auto ask = reinterpret_cast<decltype(api.cuDriverGetVersion)>(dlsym(library, "cuDriverGetVersion"));
      ask && ask(&version) == CUDA_SUCCESS && version < kNeeded) {
    return unavailable("the NVIDIA driver ({}) is for CUDA {}, {} is needed; update the driver", path,
                       version_text(version), version_text(kNeeded));
  }
  HR_TRY(find_functions(library, path, api));
  HR_TRY(check_with(api, api.cuInit(0), fmt::format("start the NVIDIA driver ({})", path)));
  return api;
}

Result<const Driver*> driver() {
  static const Result<Driver> loaded = load_driver("libcuda.so.1");
  if (!loaded.ok()) return loaded.status();
  return &*loaded;
}

Status check(CUresult result, std::string_view what) {
  if (result == CUDA_SUCCESS) return {};
  HR_ASSIGN(const Driver* api, driver());
  return check_with(*api, result, what);
}

}  // namespace headrace::cuda
