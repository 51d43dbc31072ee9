// The bytes of an engine file: its header, and metadata to and from a plan. docs/engine_format.md draws them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "engine/plan.h"

namespace headrace {

inline constexpr uint32_t kEngineFormat = 2;
inline constexpr Bytes kHeaderPage = kWeightAlignment;     // header and zeros
inline constexpr int64_t kMaxMetadata = int64_t{1} << 30;  // and of the graph
// Groups this large start at multiples of kLargeAlignment; smaller ones would waste more than they gain.
inline constexpr Bytes kLargeGroup = mib(64);
inline constexpr Bytes kLargeAlignment = mib(2);

// Little-endian, in this order, without gaps.
struct EngineHeader {
  std::array<char, 8> magic{};
  uint32_t format = 0;
  uint32_t byte_order = 0;
  int64_t file_size = 0;
  int64_t weights_offset = 0;
  int64_t weights_size = 0;
  int64_t metadata_offset = 0;
  int64_t metadata_size = 0;
  uint64_t metadata_checksum = 0;
  int64_t graph_size = 0;  // follows the metadata, to the end of the file
  uint64_t graph_checksum = 0;
  uint64_t header_checksum = 0;  // of all before it
};
static_assert(sizeof(EngineHeader) == 88);

// The header page for a file of these parts.
std::vector<std::byte> encode_header(Bytes weights_offset, Bytes weights_size,
                                     std::span<const std::byte> metadata, std::string_view graph);
// Checks everything in the page, and that the parts cover a file of `file_size` exactly.
// Errors: kCorrupt, kIncompatible.
Result<EngineHeader> decode_header(std::span<const std::byte> page, Bytes file_size);

// Where the weights of `plan` begin, and how long their section is. REQUIRES: verify(plan) is ok.
Bytes weights_begin(const Plan& plan);
Bytes weights_length(const Plan& plan);

struct Metadata {
  Plan plan;
  std::string toolchain;
};
// Errors: kUnsupported, where the plan has what the format cannot hold.
Result<std::vector<std::byte>> encode_metadata(const Plan& plan);
// Checks everything, verify(plan) included. `bytes` may lie at any address. Errors: kCorrupt.
Result<Metadata> decode_metadata(std::span<const std::byte> bytes);

}  // namespace headrace
