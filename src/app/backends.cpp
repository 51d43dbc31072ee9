#include "app/backends.h"

#include <string>

#include "core/error.h"
#include "kernels/reference/reference_kernels.h"
#include "lowering/reference/reference_lowering.h"
#ifdef HEADRACE_HAS_CPU
#include "kernels/cpu/cpu_kernels.h"
#include "lowering/cpu/cpu_lowering.h"
#endif

namespace headrace::app {
namespace {

constexpr Backend kBackends[] = {
#ifdef HEADRACE_HAS_CPU
    {"cpu", cpu::make_lowering, cpu::make_kernels, cpu::make_packer},
#endif
    {"reference", reference::make_lowering, reference::make_kernels, nullptr},
};

}  // namespace

Result<const Backend*> find_backend(std::string_view name) {
  std::string names;
  for (const Backend& backend : kBackends) {
    if (backend.name == name) return &backend;
    names += (names.empty() ? "" : ", ") + std::string(backend.name);
  }
  return invalid_argument("there is no device '{}' in this build; it has {}", name, names);
}

}  // namespace headrace::app
