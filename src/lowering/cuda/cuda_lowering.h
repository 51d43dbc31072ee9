// The building half of the cuda back end. Needs no GPU.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "lowering/lowering.h"
#include "lowering/plugin.h"

namespace headrace::cuda {

std::span<const std::string_view> targets();  // "sm_80", …

// Errors: kInvalidArgument with the targets that there are.
Result<std::unique_ptr<Lowering>> make_lowering(std::string_view target, const LoweringOptions& options = {});

}  // namespace headrace::cuda
