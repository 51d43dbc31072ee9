// NVRTC: kernel source to a binary for one target. Needs no GPU.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>

namespace headrace::cuda {

// "nvrtc 13.0".
std::string nvrtc_version();

// One binary a program, for `target` ("sm_90"); several are compiled at a time.
// Errors: kInternal with the compiler's first complaint.
Result<std::vector<std::vector<std::byte>>> compile_programs(std::span<const std::string> programs,
                                                             std::string_view target);

}  // namespace headrace::cuda
