#include "app/backends.h"

#include <charconv>

#include "app/plugins.h"
#include "core/error.h"
#include "kernels/reference/reference_kernels.h"
#include "lowering/reference/reference_lowering.h"
#ifdef HEADRACE_HAS_CPU
#include "kernels/cpu/cpu_kernels.h"
#include "lowering/cpu/cpu_lowering.h"
#endif

namespace headrace::app {
namespace {

// Those that are part of this library.
struct BuiltIn {
  std::string_view name;
  std::unique_ptr<Lowering> (*make_lowering)();
  std::unique_ptr<Kernels> (*make_kernels)();
  std::unique_ptr<Packer> (*make_packer)();  // nullptr where weights are not packed; so the next
  std::string (*fingerprint)();
};
constexpr BuiltIn kBuiltIn[] = {
#ifdef HEADRACE_HAS_CPU
    {"cpu", cpu::make_lowering, cpu::make_kernels, cpu::make_packer, cpu::fingerprint},
#endif
    {"reference", reference::make_lowering, reference::make_kernels, nullptr, nullptr},
};
constexpr std::string_view kCuda = "cuda";

const BuiltIn* find_built_in(std::string_view name) {
  for (const BuiltIn& backend : kBuiltIn) {
    if (backend.name == name) return &backend;
  }
  return nullptr;
}

Status no_such_device(std::string_view name) {
  std::string names;
  for (const BuiltIn& backend : kBuiltIn) names += std::string(backend.name) + ", ";
  return invalid_argument("there is no device '{}' in this build; it has {}cuda[:INDEX], cuda:sm_NN", name,
                          names);
}

}  // namespace

Result<DeviceName> parse_device(std::string_view text) {
  DeviceName device;
  const size_t colon = text.find(':');
  device.backend = text.substr(0, colon);
  const std::string_view rest = colon == text.npos ? std::string_view() : text.substr(colon + 1);
  if (device.backend != kCuda) {
    if (!find_built_in(device.backend) || (colon != text.npos && rest != "0")) return no_such_device(text);
    return device;
  }
  if (colon == text.npos) return device;
  if (rest.starts_with("sm_")) {
    device.target = rest;
    return device;
  }
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), device.index);
  const bool whole = error == std::errc() && end == rest.data() + rest.size();
  if (!whole || device.index < 0) return no_such_device(text);
  return device;
}

Result<BuildBackend> make_build_backend(const DeviceName& device, const LoweringOptions& options) {
  if (const BuiltIn* const backend = find_built_in(device.backend)) {
    return BuildBackend{backend->make_lowering(), backend->make_packer ? backend->make_packer() : nullptr,
                        backend->make_kernels()};
  }
  if (device.backend != kCuda) return no_such_device(device.backend);
  std::string target = device.target;
  if (target.empty()) {
    const auto asked = [&]() -> Result<std::string> {
      HR_ASSIGN(const RunPlugin* const plugin, cuda_run_plugin());
      return plugin->target(device.index);
    }();
    if (!asked.ok()) {
      return asked.status().with_context(
          "what to build for (a machine without a GPU builds for one by name, as cuda:sm_90)");
    }
    target = *asked;
  }
  HR_ASSIGN(const BuildPlugin* const plugin, cuda_build_plugin());
  HR_ASSIGN(auto lowering, plugin->lowering(target, options));
  return BuildBackend{std::move(lowering), nullptr, nullptr};
}

Result<RunBackend> make_run_backend(std::string_view backend, int index, std::shared_ptr<Tuning> tuning) {
  if (const BuiltIn* const built_in = find_built_in(backend)) {
    RunBackend made{built_in->make_kernels(), make_host_device(), nullptr, ""};
    if (built_in->make_packer)
      made.packer = built_in->make_packer(), made.fingerprint = built_in->fingerprint();
    return made;
  }
  if (backend != kCuda) return no_such_device(backend);
  HR_ASSIGN(const RunPlugin* const plugin, cuda_run_plugin());
  HR_ASSIGN(std::shared_ptr<Device> device, cuda_device(index));
  return RunBackend{plugin->kernels(device, std::move(tuning)), device, nullptr, ""};
}

}  // namespace headrace::app
