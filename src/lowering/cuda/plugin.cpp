// The library's entry: the building half of the cuda back end.
#include "lowering/plugin.h"

#include <cstring>

#include "core/build_id.h"
#include "lowering/cuda/cuda_lowering.h"

namespace headrace::cuda {
namespace {

class CudaBuildPlugin : public BuildPlugin {
 public:
  Result<std::unique_ptr<Lowering>> lowering(std::string_view target,
                                             const LoweringOptions& options) const override {
    return make_lowering(target, options);
  }
};

}  // namespace
}  // namespace headrace::cuda

extern "C" __attribute__((visibility("default"))) const headrace::BuildPlugin* headrace_build_plugin(
    const char* build_id) {
  static const headrace::cuda::CudaBuildPlugin kPlugin;
  return std::strcmp(build_id, headrace::kBuildId) == 0 ? &kPlugin : nullptr;
}
