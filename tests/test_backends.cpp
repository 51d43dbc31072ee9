#include "test_backends.h"

#include "kernels/reference/reference_kernels.h"
#include "lowering/reference/reference_lowering.h"
#ifdef HEADRACE_TEST_CPU
#include "kernels/cpu/cpu_kernels.h"
#include "lowering/cpu/cpu_lowering.h"
#endif

namespace headrace::test {

std::vector<std::string> test_backend_names() {
  std::vector<std::string> names = {"reference"};
#ifdef HEADRACE_TEST_CPU
  names.push_back("cpu");
#endif
  return names;
}

TestBackend make_test_backend(const std::string& name) {
#ifdef HEADRACE_TEST_CPU
  if (name == "cpu") return {name, cpu::make_lowering(), cpu::make_kernels(), cpu::make_packer(), {}, {}};
#endif
  return {name, reference::make_lowering(), reference::make_kernels(), nullptr, {}, {}};
}

}  // namespace headrace::test
