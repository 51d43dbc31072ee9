#include "lowering/cuda/kernel_sources.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/hash.h"
#include "headrace_device_texts.h"

namespace headrace::cuda {

namespace {

constexpr int64_t kFunctionsPerProgram = 8;

std::string with_name(std::string_view text, std::string_view name) {
  std::string result;
  for (const char c : text) {
    if (c == '$')
      result += name;
    else
      result += c;
  }
  return result;
}

}  // namespace

std::string KernelSources::add(const KernelText& text) {
  const std::string form = fmt::format(
      "{}\nextern \"C\" __global__ void __launch_bounds__({}, {}) $(const __grid_constant__ "
      "{}<{}> args) {{\n  allow_next();\n{}  {}\n}}\n",
      text.declarations, text.threads, text.resident, text.arguments, text.tensors,
      text.waits ? "" : "  wait_for_previous();\n", text.call);
  const std::string name = fmt::format("hr_{}_{}", text.family, sha256_hex(form).substr(0, 16));
  functions_.emplace(name, with_name(form, name));
  return name;
}

int64_t KernelSources::program_count() const {
  const auto count = static_cast<int64_t>(functions_.size());
  return (count + kFunctionsPerProgram - 1) / kFunctionsPerProgram;
}

int64_t KernelSources::program_of(std::string_view function) const {
  const auto place = std::distance(functions_.begin(), functions_.find(function));
  return place % program_count();
}

std::vector<std::string> KernelSources::programs() const {
  std::vector<std::string> programs(static_cast<size_t>(program_count()), std::string(kDeviceText));
  size_t next = 0;
  for (const auto& [name, text] : functions_) programs[next++ % programs.size()] += text;
  return programs;
}

}  // namespace headrace::cuda
