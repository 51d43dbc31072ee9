// A file given as an engine, and its metadata alone, which no checksum guards here.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/engine_file.h"
#include "engine/engine_format.h"
#include "engine/sizes.h"

namespace headrace {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// What a runtime relies on without looking.
void check_plan(const Plan& plan) {
  require(verify(plan).ok());
  const Bytes length = weights_length(plan);
  for (const Weight& weight : plan.weights) {
    if (weight.group == kNone) continue;
    const WeightGroup& group = plan.groups[static_cast<size_t>(weight.group)];
    require(weight.offset + weight.stored <= group.size);
    require(group.offset + group.size <= length);
  }
  for (const auto& groups : groups_by_step(plan))
    for (const int32_t group : groups) require(static_cast<size_t>(group) < plan.groups.size());
  require(!to_text(plan).empty());
  // Writing it again and reading that gives the same.
  const Result<std::vector<std::byte>> bytes = encode_metadata(plan);
  if (!bytes.ok()) return;
  const Result<Metadata> again = decode_metadata(*bytes);
  require(again.ok());
  const Result<std::vector<std::byte>> twice = encode_metadata(again->plan);
  require(twice.ok() && *twice == *bytes);
}

}  // namespace
}  // namespace headrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto plan = EngineFile::parse(bytes); plan.ok()) check_plan(*plan);
  if (const auto metadata = decode_metadata(bytes); metadata.ok()) check_plan(metadata->plan);
  // The same metadata behind a header that is right.
  std::vector<std::byte> file = encode_header(kHeaderPage, Bytes{}, bytes, {});
  file.insert(file.end(), bytes.begin(), bytes.end());
  if (const auto plan = EngineFile::parse(file); plan.ok()) check_plan(*plan);
  return 0;
}
