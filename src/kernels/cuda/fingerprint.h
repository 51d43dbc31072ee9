// The fingerprint of cuda plans: what their steps and code depend on. Shared by the two halves.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace headrace::cuda {

// The versions whose abilities library_support.h states.
inline constexpr int kCublasLtMajor = 13;
inline constexpr int kCudnnMajor = 9;

// "cuda sm_90 cublasLt 13 cudnn 9 generated 3"
std::string fingerprint(int sm);
// 90 of "sm_90"; nothing where it is no target.
std::optional<int> parse_target(std::string_view target);

}  // namespace headrace::cuda
