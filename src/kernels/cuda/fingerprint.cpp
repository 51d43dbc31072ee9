#include "kernels/cuda/fingerprint.h"

#include <fmt/core.h>

#include <charconv>

#include "kernels/cuda/generated_args.h"

namespace headrace::cuda {

std::string fingerprint(int sm) {
  return fmt::format("cuda sm_{} cublasLt {} cudnn {} generated {}", sm, kCublasLtMajor, kCudnnMajor,
                     kGeneratedVersion);
}

std::optional<int> parse_target(std::string_view target) {
  constexpr std::string_view kStart = "sm_";
  if (!target.starts_with(kStart)) return std::nullopt;
  const std::string_view digits = target.substr(kStart.size());
  int sm = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), sm);
  if (error != std::errc() || end != digits.data() + digits.size() || sm <= 0) return std::nullopt;
  return sm;
}

}  // namespace headrace::cuda
