// What a build plug-in gives: the building half of a back end that lives in a library of its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <headrace/status.h>
#include "lowering/lowering.h"

namespace headrace {

struct LoweringOptions {
  bool allow_tf32 = false;  // f32 products and convolutions may round their operands to TF32 (10 bits)
  bool as_if_large =
      false;  // kernels that pay for large tensors alone are chosen for all, which tests are for
};

class BuildPlugin {
 public:
  virtual ~BuildPlugin() = default;
  // For engines that run on `target`, "sm_90". Errors: kInvalidArgument with the targets that there are.
  virtual Result<std::unique_ptr<Lowering>> lowering(std::string_view target,
                                                     const LoweringOptions& options) const = 0;
};

// The entry of the library, `headrace_build_plugin`: nullptr where `build_id` is not its own.
using BuildPluginEntry = const BuildPlugin* (*)(const char* build_id);
inline constexpr const char* kBuildPluginEntry = "headrace_build_plugin";

}  // namespace headrace
