#include "app/archive_weights.h"

#include "core/error.h"

namespace headrace::app {
namespace {

// Absent where the archive's writer counted no CRC-32: any bytes of that size would pass for the same.
Result<std::optional<StorageMark>> mark_of(const std::string& storage, const frontend::Archive& archive) {
  HR_ASSIGN(const Bytes size, archive.size(storage));
  HR_ASSIGN(const uint32_t crc, archive.crc(storage));
  if (size.count > 0 && crc == 0) return std::optional<StorageMark>();
  return std::optional(StorageMark{size, crc});
}

}  // namespace

Status mark_sources(Plan& plan, const frontend::Archive& archive) {
  for (SourceWeight& source : plan.sources) {
    HR_ASSIGN(source.mark, mark_of(source.storage, archive));
  }
  return {};
}

Status check_marks(const Plan& plan, const frontend::Archive& archive) {
  for (const SourceWeight& source : plan.sources) {
    if (!source.mark) {
      return incompatible(
          "the engine does not say by which bytes '{}' ({}) is known: it was made by an older version, or of "
          "an "
          "archive without checksums",
          source.storage, source.name);
    }
    if (!archive.contains(source.storage))
      return incompatible("it is another model: it has no '{}' ({})", source.storage, source.name);
    HR_ASSIGN(const std::optional<StorageMark> found, mark_of(source.storage, archive));
    if (!found) return incompatible("it has no checksum of '{}' ({})", source.storage, source.name);
    if (*found == *source.mark) continue;
    return incompatible(
        "it is another model: its '{}' ({}) has {} bytes with the CRC-32 {:08x}, and the engine was made of "
        "{} "
        "with {:08x}",
        source.storage, source.name, found->size.count, found->crc, source.mark->size.count,
        source.mark->crc);
  }
  return {};
}

}  // namespace headrace::app
