#include "app/plugins.h"

#include <dlfcn.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "core/build_id.h"
#include "core/error.h"

namespace headrace::app {
namespace {

// Plug-ins lie beside this library.
std::filesystem::path own_folder() {
  Dl_info info = {};
  if (::dladdr(reinterpret_cast<const void*>(&cuda_run_plugin), &info) == 0 || !info.dli_fname) return {};
  return std::filesystem::path(info.dli_fname).parent_path();
}

template <class Plugin>
Result<const Plugin*> open_plugin(const std::string& name, const char* entry) {
  const std::filesystem::path beside = own_folder() / name;
  std::error_code ignored;
  const bool is_beside = std::filesystem::exists(beside, ignored);
  const std::string path = is_beside ? beside.string() : name;
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* const reason = ::dlerror();
    return unavailable(
        "device cuda: '{}' cannot be loaded ({}); {}", path, reason ? reason : "no reason given",
        is_beside ? "install the CUDA libraries that it names, or add their folder to LD_LIBRARY_PATH"
                  : "build Headrace with the CUDA toolkit installed");
  }
  using Entry = const Plugin* (*)(const char*);
  const auto open = reinterpret_cast<Entry>(::dlsym(library, entry));
  const Plugin* const plugin = open ? open(kBuildId) : nullptr;
  if (plugin) return plugin;
  ::dlclose(library);
  return unavailable("device cuda: '{}' is of another build than this library ({}); install both together",
                     path, kBuildId);
}

}  // namespace

Result<const RunPlugin*> cuda_run_plugin() {
  static const auto plugin = open_plugin<RunPlugin>("libheadrace_cuda.so", kRunPluginEntry);
  return plugin;
}

Result<const BuildPlugin*> cuda_build_plugin() {
  static const auto plugin = open_plugin<BuildPlugin>("libheadrace_cuda_build.so", kBuildPluginEntry);
  return plugin;
}

Result<std::shared_ptr<Device>> cuda_device(int index) {
  static std::mutex mutex;
  static std::map<int, std::weak_ptr<Device>> devices;
  HR_ASSIGN(const RunPlugin* const plugin, cuda_run_plugin());
  std::lock_guard lock(mutex);
  if (auto device = devices[index].lock()) return device;
  HR_ASSIGN(auto device, plugin->device(index));
  devices[index] = device;
  return device;
}

}  // namespace headrace::app
