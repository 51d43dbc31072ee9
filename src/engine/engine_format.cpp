#include "engine/engine_format.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"
#include "core/hash.h"
#include "engine/sizes.h"

namespace headrace {
namespace {

static_assert(std::endian::native == std::endian::little, "engine files are written as memory holds them");

// Bytes above 127 and both line ends show a copy that went through text mode.
constexpr std::array<char, 8> kMagic = {'\x89', 'H', 'R', 'E', 'N', 'G', '\r', '\n'};
constexpr uint32_t kByteOrder = 0x01020304;
constexpr uint32_t kSwappedOrder = 0x04030201;
constexpr size_t kChecked = offsetof(EngineHeader, header_checksum);

}  // namespace

std::vector<std::byte> encode_header(Bytes weights_offset, Bytes weights_size,
                                     std::span<const std::byte> metadata, std::string_view graph) {
  EngineHeader header;
  header.magic = kMagic;
  header.format = kEngineFormat;
  header.byte_order = kByteOrder;
  header.weights_offset = weights_offset.count;
  header.weights_size = weights_size.count;
  header.metadata_offset = (weights_offset + weights_size).count;
  header.metadata_size = static_cast<int64_t>(metadata.size());
  header.metadata_checksum = checksum(metadata);
  header.graph_size = static_cast<int64_t>(graph.size());
  header.graph_checksum = checksum(std::as_bytes(std::span(graph)));
  header.file_size = header.metadata_offset + header.metadata_size + header.graph_size;
  header.header_checksum = checksum(std::as_bytes(std::span(&header, 1)).first(kChecked));
  std::vector<std::byte> page(static_cast<size_t>(kHeaderPage.count));
  std::memcpy(page.data(), &header, sizeof(header));
  return page;
}

Result<EngineHeader> decode_header(std::span<const std::byte> page, Bytes file_size) {
  if (page.size() < kMagic.size() || std::memcmp(page.data(), kMagic.data(), kMagic.size()) != 0)
    return corrupt("it is no engine file: it does not begin with the mark of one");
  if (page.size() < static_cast<size_t>(kHeaderPage.count))
    return corrupt("it is cut off: {} bytes, less than a header", page.size());
  EngineHeader header;
  std::memcpy(&header, page.data(), sizeof(header));
  if (header.byte_order == kSwappedOrder)
    return incompatible("it was compiled on a machine of the other byte order; compile again on this one");
  const uint64_t found = checksum(page.first(kChecked));
  // A header of another version may look different from here on, checksum included.
  if (header.byte_order == kByteOrder && header.format != kEngineFormat) {
    return incompatible("it has engine format {}, and this version of Headrace reads {}; compile again",
                        header.format, kEngineFormat);
  }
  if (found != header.header_checksum) return corrupt("its header is damaged: the checksum does not match");
  const auto rest = page.subspan(sizeof(header), static_cast<size_t>(kHeaderPage.count) - sizeof(header));
  if (std::any_of(rest.begin(), rest.end(), [](std::byte byte) { return byte != std::byte{0}; }))
    return corrupt("its header is damaged: what follows it is not zero");
  if (header.file_size != file_size.count)
    return corrupt("it has {} bytes and should have {}; copy it again or compile again", file_size.count,
                   header.file_size);
  const auto aligned = [](int64_t at) { return at % kWeightAlignment.count == 0; };
  const std::optional<int64_t> weights_end = checked_add(header.weights_offset, header.weights_size);
  const auto bounded = [](int64_t size) { return size >= 0 && size <= kMaxMetadata; };
  const bool sane = header.weights_offset >= kHeaderPage.count && header.weights_size >= 0 &&
                    aligned(header.weights_offset) && aligned(header.weights_size) &&
                    bounded(header.metadata_size) && bounded(header.graph_size);
  if (!sane || weights_end != header.metadata_offset ||
      checked_add(header.metadata_offset, header.metadata_size + header.graph_size) != file_size.count)
    return corrupt("its header is damaged: the parts do not cover the file");
  return header;
}

Bytes weights_begin(const Plan& plan) {
  const bool large = std::any_of(plan.groups.begin(), plan.groups.end(),
                                 [](const WeightGroup& group) { return group.size >= kLargeGroup; });
  return large ? kLargeAlignment : kHeaderPage;
}

Bytes weights_length(const Plan& plan) {
  if (plan.groups.empty()) return {};
  return align_up(plan.groups.back().offset + plan.groups.back().size, kWeightAlignment);
}

}  // namespace headrace
