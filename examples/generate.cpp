// generate ENGINE MEMORY_MIB TOKENS: greedy text generation by a language model that need not fit in memory.
// The whole context runs again for each token; there is no cache of keys and values.
#include <headrace/headrace.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace {

float value_at(const headrace::Tensor& logits, int64_t index) {
  if (logits.dtype() == headrace::DType::kF32) return logits.as<float>()[index];
  return std::bit_cast<float>(uint32_t{logits.as<uint16_t>()[index]}
                              << 16);  // bf16: the upper half of an f32
}

// The likeliest token after the last position. REQUIRES: logits are [1, sequence, vocabulary], f32 or bf16.
int64_t likeliest(const headrace::Tensor& logits) {
  const int64_t vocabulary = logits.shape().back();
  const int64_t begin = (logits.shape()[1] - 1) * vocabulary;
  int64_t best = 0;
  for (int64_t i = 1; i < vocabulary; i++) {
    if (value_at(logits, begin + i) > value_at(logits, begin + best)) best = i;
  }
  return best;
}

// The most memory that this process had resident, as the kernel counts it.
long long peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::atoll(line.c_str() + 6) / 1024;
  return 0;
}

void generate(const char* path, headrace::Bytes limit, int tokens) {
  auto engine = headrace::Engine::open(path, {.weight_budget = headrace::Bytes{0}}).value();
  auto context = engine.context({.memory_limit = limit}).value();
  std::vector<int64_t> ids = {1, 15043, 3186};
  for (int i = 0; i < tokens; i++) {
    const auto start = std::chrono::steady_clock::now();
    const auto length = static_cast<int64_t>(ids.size());
    auto input = headrace::Tensor::borrow(ids.data(), headrace::DType::kI64, {1, length});
    auto outputs = context.run({input}).value();
    ids.push_back(likeliest(outputs.at(0)));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("token %2d: %6lld   %.2f s\n", i + 1, static_cast<long long>(ids.back()), seconds.count());
    std::fflush(stdout);
  }
  std::printf("%s; peak process memory %lld MiB\n", context.report().c_str(), peak_mib());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: generate ENGINE MEMORY_MIB TOKENS\n"), 2;
  try {
    generate(argv[1], headrace::mib(std::atoll(argv[2])), std::atoi(argv[3]));
  } catch (const headrace::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
