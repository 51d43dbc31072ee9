#include "frontend/zip.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>

#include "core/error.h"

namespace headrace::frontend {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kZip64EndSignature = 0x06064b50;
constexpr uint32_t kZip64LocatorSignature = 0x07064b50;
constexpr size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kZip64EndSize = 56,
                 kZip64LocatorSize = 20;
constexpr size_t kLongestComment = 0xffff;
constexpr Bytes kLargestDirectory = mib(256);
constexpr uint16_t kZip64Extra = 1;

using Buffer = std::span<const std::byte>;

// Little-endian, from the start of `bytes`. REQUIRES: it is long enough.
template <class T>
T load(Buffer bytes, size_t at) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<T>(bytes[at + i]) << (8 * i));
  return value;
}

struct Directory {
  int64_t offset = 0, size = 0;  // of the central records
  uint64_t entries = 0;
};

Status check_fits(const Directory& directory, uint64_t offset, uint64_t size, int64_t end) {
  if (size > static_cast<uint64_t>(kLargestDirectory.count)) {
    return corrupt("its directory claims {} bytes, more than any real archive has", size);
  }
  if (offset > static_cast<uint64_t>(end) || size > static_cast<uint64_t>(end) - offset) {
    return corrupt(
        "its directory claims bytes {} to {}, but it must end before byte {}: the file is damaged or cut "
        "short",
        offset, offset + size, end);
  }
  if (directory.entries > size / kCentralSize) {
    return corrupt("its directory claims {} entries in {} bytes", directory.entries, size);
  }
  return {};
}

// The zip64 end record, where a locator stands before the end record at `end_at`.
Result<std::optional<Directory>> read_zip64_end(int64_t end_at, const ReadAt& read) {
  if (end_at < static_cast<int64_t>(kZip64LocatorSize + kZip64EndSize)) return std::optional<Directory>();
  std::array<std::byte, kZip64LocatorSize> locator;
  HR_TRY(read(Bytes{end_at - static_cast<int64_t>(kZip64LocatorSize)}, locator));
  if (load<uint32_t>(locator, 0) != kZip64LocatorSignature) return std::optional<Directory>();
  const uint64_t at = load<uint64_t>(locator, 8);
  const int64_t latest = end_at - static_cast<int64_t>(kZip64LocatorSize + kZip64EndSize);
  if (at > static_cast<uint64_t>(latest)) {
    return corrupt(
        "its zip64 record should be at byte {}, but cannot be after byte {}: the file is damaged "
        "or cut short",
        at, latest);
  }
  std::array<std::byte, kZip64EndSize> record;
  HR_TRY(read(Bytes{static_cast<int64_t>(at)}, record));
  if (load<uint32_t>(record, 0) != kZip64EndSignature) {
    return corrupt("there is no zip64 record at byte {}, where its locator says", at);
  }
  if (load<uint32_t>(record, 16) != 0 || load<uint32_t>(record, 20) != 0) {
    return unsupported("it is one of several parts of a split zip; join the parts first");
  }
  Directory directory{.entries = load<uint64_t>(record, 32)};
  const uint64_t size = load<uint64_t>(record, 40), offset = load<uint64_t>(record, 48);
  HR_TRY(check_fits(directory, offset, size, static_cast<int64_t>(at)));
  directory.offset = static_cast<int64_t>(offset);
  directory.size = static_cast<int64_t>(size);
  return std::optional(directory);
}

// Finds the end record, which a comment may follow.
Result<Directory> find_directory(Bytes file_size, const ReadAt& read) {
  if (file_size.count == 0) return corrupt("it is empty; save the program again");
  const auto tail_size = static_cast<size_t>(
      std::min<int64_t>(file_size.count, static_cast<int64_t>(kEndSize + kLongestComment)));
  std::vector<std::byte> tail(tail_size);
  HR_TRY(read(Bytes{file_size.count - static_cast<int64_t>(tail_size)}, tail));
  std::optional<size_t> found;
  for (size_t at = tail_size < kEndSize ? 0 : tail_size - kEndSize + 1; at-- > 0 && !found;) {
    const bool ends_here = load<uint32_t>(tail, at) == kEndSignature &&
                           at + kEndSize + load<uint16_t>(tail, at + 20) == tail_size;
    if (ends_here) found = at;
  }
  if (!found) {
    std::array<std::byte, 4> start{};
    if (file_size.count >= 4) HR_TRY(read(Bytes{0}, start));
    if (load<uint32_t>(start, 0) == kLocalSignature) {
      return corrupt(
          "it starts as a zip but has no directory at its end: it is cut short; copy or save it again");
    }
    return corrupt("it is no zip file; give what torch.export.save wrote");
  }
  const Buffer end = Buffer(tail).subspan(*found);
  const int64_t end_at = file_size.count - static_cast<int64_t>(tail_size - *found);
  HR_ASSIGN(std::optional<Directory> zip64, read_zip64_end(end_at, read));
  if (zip64) return *zip64;
  if (load<uint16_t>(end, 4) != 0 || load<uint16_t>(end, 6) != 0) {
    return unsupported("it is one of several parts of a split zip; join the parts first");
  }
  Directory directory{.entries = load<uint16_t>(end, 10)};
  const uint32_t size = load<uint32_t>(end, 12), offset = load<uint32_t>(end, 16);
  HR_TRY(check_fits(directory, offset, size, end_at));
  directory.offset = offset;
  directory.size = size;
  return directory;
}

struct CentralRecord {
  ZipEntry entry;  // without its offset
  uint64_t header = 0, stored = 0, unpacked = 0;
};

// A zip64 extra field holds, in this order, those of the three numbers that are all ones in the record.
Status take_zip64_extra(Buffer extra, CentralRecord& record) {
  size_t at = 0;
  while (at + 4 <= extra.size()) {
    const uint16_t id = load<uint16_t>(extra, at);
    const size_t size = load<uint16_t>(extra, at + 2);
    at += 4;
    if (size > extra.size() - at) break;
    if (id == kZip64Extra) {
      size_t field = at;
      for (uint64_t* number : {&record.unpacked, &record.stored, &record.header}) {
        if (*number != 0xffffffff) continue;
        if (field + 8 > at + size)
          return corrupt("entry '{}': its zip64 field is too short", record.entry.name);
        *number = load<uint64_t>(extra, field);
        field += 8;
      }
      return {};
    }
    at += size;
  }
  return {};
}

Result<std::vector<CentralRecord>> read_records(const Directory& directory, const ReadAt& read) {
  std::vector<std::byte> bytes(static_cast<size_t>(directory.size));
  HR_TRY(read(Bytes{directory.offset}, bytes));
  std::vector<CentralRecord> records;
  records.reserve(directory.entries);
  size_t at = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    const Buffer rest = Buffer(bytes).subspan(at);
    if (rest.size() < kCentralSize || load<uint32_t>(rest, 0) != kCentralSignature) {
      return corrupt("record {} of its directory's {} is no directory record", i, directory.entries);
    }
    const size_t name = load<uint16_t>(rest, 28), extra = load<uint16_t>(rest, 30),
                 comment = load<uint16_t>(rest, 32);
    if (name + extra + comment > rest.size() - kCentralSize) {
      return corrupt("record {} of its directory's {} is cut short", i, directory.entries);
    }
    CentralRecord record;
    record.entry.name.assign(reinterpret_cast<const char*>(rest.data()) + kCentralSize, name);
    record.entry.flags = load<uint16_t>(rest, 8);
    record.entry.method = load<uint16_t>(rest, 10);
    record.entry.crc = load<uint32_t>(rest, 16);
    record.stored = load<uint32_t>(rest, 20);
    record.unpacked = load<uint32_t>(rest, 24);
    record.header = load<uint32_t>(rest, 42);
    HR_TRY(take_zip64_extra(rest.subspan(kCentralSize + name, extra), record));
    records.push_back(std::move(record));
    at += kCentralSize + name + extra + comment;
  }
  return records;
}

// Where the entry's bytes start: after its local header, name and extra field.
Status locate(CentralRecord& record, int64_t end, const ReadAt& read) {
  ZipEntry& entry = record.entry;
  const auto outside = [&] {
    return corrupt(
        "entry '{}' ({} bytes, header at byte {}) does not lie before byte {}, where the directory "
        "starts: the file is damaged or cut short",
        entry.name, record.stored, record.header, end);
  };
  if (record.header > static_cast<uint64_t>(end) || static_cast<uint64_t>(end) - record.header < kLocalSize) {
    return outside();
  }
  std::array<std::byte, kLocalSize> header;
  HR_TRY(read(Bytes{static_cast<int64_t>(record.header)}, header));
  if (load<uint32_t>(header, 0) != kLocalSignature) {
    return corrupt("entry '{}' should start at byte {}, where no entry starts", entry.name, record.header);
  }
  const uint64_t offset =
      record.header + kLocalSize + load<uint16_t>(header, 26) + load<uint16_t>(header, 28);
  if (offset > static_cast<uint64_t>(end) || record.stored > static_cast<uint64_t>(end) - offset)
    return outside();
  if (!is_compressed(entry) && !is_encrypted(entry) && record.stored != record.unpacked) {
    return corrupt("entry '{}' is stored as it is, yet has two sizes, {} and {} bytes", entry.name,
                   record.stored, record.unpacked);
  }
  entry.offset = Bytes{static_cast<int64_t>(offset)};
  entry.size = Bytes{static_cast<int64_t>(record.stored)};
  return {};
}

Status check_apart(const std::vector<CentralRecord>& records) {
  std::vector<const CentralRecord*> by_place;
  std::set<std::string_view> names;
  for (const CentralRecord& record : records) {
    by_place.push_back(&record);
    if (!names.insert(record.entry.name).second) return corrupt("it has two entries '{}'", record.entry.name);
  }
  std::sort(by_place.begin(), by_place.end(),
            [](const auto* a, const auto* b) { return a->header < b->header; });
  for (size_t i = 1; i < by_place.size(); ++i) {
    const ZipEntry& before = by_place[i - 1]->entry;
    if (static_cast<uint64_t>((before.offset + before.size).count) > by_place[i]->header) {
      return corrupt("entries '{}' and '{}' overlap", before.name, by_place[i]->entry.name);
    }
  }
  return {};
}

}  // namespace

bool is_encrypted(const ZipEntry& entry) {
  constexpr uint16_t kEncrypted = 1, kStrong = 1 << 6, kMasked = 1 << 13;
  return (entry.flags & (kEncrypted | kStrong | kMasked)) != 0;
}
bool is_compressed(const ZipEntry& entry) { return entry.method != 0; }

Result<std::vector<ZipEntry>> read_zip_directory(Bytes file_size, const ReadAt& read) {
  HR_ASSIGN(const Directory directory, find_directory(file_size, read));
  HR_ASSIGN(std::vector<CentralRecord> records, read_records(directory, read));
  for (CentralRecord& record : records) HR_TRY(locate(record, directory.offset, read));
  HR_TRY(check_apart(records));
  std::vector<ZipEntry> entries;
  for (CentralRecord& record : records) {
    if (!record.entry.name.ends_with('/')) entries.push_back(std::move(record.entry));
  }
  return entries;
}

}  // namespace headrace::frontend
