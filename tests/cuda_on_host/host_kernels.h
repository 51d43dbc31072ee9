// HostKernels: the generated kernels of cuda plans, compiled by the host's compiler and run by block_runner.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cuda_on_host/block_runner.h"
#include "kernels/kernels.h"
#include "lowering/cuda/kernel_sources.h"

namespace headrace::test {

// The functions of `sources` by name, compiled in `folder`, two programs at a time.
// Errors: kInternal where the compiler refuses one.
Result<std::map<std::string, HostKernel>> compile_for_host(const cuda::KernelSources& sources,
                                                           const std::filesystem::path& folder);

// Steps of the libraries are run by the reference kernels. `functions` outlives it.
class HostKernels : public Kernels {
 public:
  explicit HostKernels(const std::map<std::string, HostKernel>& functions) : functions_(functions) {}
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override;

 private:
  const std::map<std::string, HostKernel>& functions_;
};

}  // namespace headrace::test
