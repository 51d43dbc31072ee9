// Writes first inputs for fuzz_engine_file: engines of random plans, and their metadata.
//   engine_corpus FOLDER
#include <cstdio>
#include <filesystem>

#include <fmt/core.h>

#include "core/file.h"
#include "engine/engine_format.h"
#include "engine/testing.h"

int main(int argc, char** argv) {
  using namespace headrace;
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  for (uint64_t seed = 0; seed < 40; ++seed) {
    testing::RandomPlan random(seed);
    const Plan plan = random.make();
    const Result<std::vector<std::byte>> metadata = encode_metadata(plan);
    if (!metadata.ok()) return 1;
    const std::string_view text(reinterpret_cast<const char*>(metadata->data()), metadata->size());
    if (!write_text_file(folder / fmt::format("metadata_{}", seed), text).ok()) return 1;
    if (seed < 8 &&
        !testing::write_engine(folder / fmt::format("engine_{}", seed), plan, random.weights(), "graph() {}")
             .ok())
      return 1;
  }
  return 0;
}
