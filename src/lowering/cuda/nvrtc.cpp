#include "lowering/cuda/nvrtc.h"

#include <nvrtc.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "core/error.h"

namespace headrace::cuda {

namespace {

Status check(nvrtcResult result, std::string_view what) {
  if (result == NVRTC_SUCCESS) return {};
  return internal_error("NVRTC: {}: {}", what, nvrtcGetErrorString(result));
}

class Program {
 public:
  Program() = default;
  ~Program() {
    if (program_) nvrtcDestroyProgram(&program_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  Result<std::vector<std::byte>> compile(const std::string& source, const std::string& target) {
    HR_TRY(check(nvrtcCreateProgram(&program_, source.c_str(), "headrace_kernels.cu", 0, nullptr, nullptr),
                 "create a program"));
    // sm_90 has instructions that its successors lack, and its binaries run nowhere else in any case.
    const std::string architecture = "--gpu-architecture=" + target + (target == "sm_90" ? "a" : "");
    const char* options[] = {architecture.c_str(), "--std=c++17"};
    const nvrtcResult result = nvrtcCompileProgram(program_, static_cast<int>(std::size(options)), options);
    if (result != NVRTC_SUCCESS) {
      return internal_error("NVRTC: compile kernels for {}: {}:\n{}", target, nvrtcGetErrorString(result),
                            log());
    }
    size_t size = 0;
    HR_TRY(check(nvrtcGetCUBINSize(program_, &size), "ask for the binary's size"));
    std::vector<std::byte> binary(size);
    HR_TRY(check(nvrtcGetCUBIN(program_, reinterpret_cast<char*>(binary.data())), "get the binary"));
    return binary;
  }

 private:
  // The first errors of it; warnings of templates would fill pages.
  std::string log() const {
    size_t size = 0;
    if (nvrtcGetProgramLogSize(program_, &size) != NVRTC_SUCCESS) return "no log";
    std::string text(size, '\0');
    if (nvrtcGetProgramLog(program_, text.data()) != NVRTC_SUCCESS) return "no log";
    const size_t error = text.find("error");
    const size_t line = error == std::string::npos ? 0 : text.rfind('\n', error) + 1;
    constexpr size_t kMost = 4000;
    return text.substr(line, kMost);
  }

  nvrtcProgram program_ = nullptr;
};

}  // namespace

std::string nvrtc_version() {
  int major = 0, minor = 0;
  if (nvrtcVersion(&major, &minor) != NVRTC_SUCCESS) return "nvrtc unknown";
  return fmt::format("nvrtc {}.{}", major, minor);
}

Result<std::vector<std::vector<std::byte>>> compile_programs(std::span<const std::string> programs,
                                                             std::string_view target) {
  std::vector<std::vector<std::byte>> binaries(programs.size());
  std::vector<Status> statuses(programs.size());
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < programs.size(); i = next++) {
      Program program;
      Result<std::vector<std::byte>> binary = program.compile(programs[i], std::string(target));
      if (binary.ok())
        binaries[i] = *std::move(binary);
      else
        statuses[i] = binary.status();
    }
  };
  const size_t workers = std::min<size_t>(programs.size(), std::max(1u, std::thread::hardware_concurrency()));
  {
    std::vector<std::jthread> threads;
    for (size_t i = 1; i < workers; ++i) threads.emplace_back(work);
    work();
  }
  for (const Status& status : statuses) HR_TRY(status);
  return binaries;
}

}  // namespace headrace::cuda
