// Makes zip files for tests: as torch.export writes them, or wrong in one way.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace headrace::frontend {

struct TestEntry {
  std::string name, bytes;
  uint16_t flags = 0x808, method = 0;
  uint32_t crc = 0;
  // Where the directory is to say something else than the truth.
  std::optional<uint64_t> claimed_size = {}, claimed_offset = {};
};

inline void append(std::string& text, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) {
    text += static_cast<char>(value);
    value >>= 8;
  }
}

// A directory record; with `zip64` all three numbers are in an extra field.
inline std::string central_record(const TestEntry& entry, uint64_t offset, uint64_t size, bool zip64) {
  std::string record;
  append(record, 0x02014b50, 4);
  append(record, 0, 4);  // versions
  append(record, entry.flags, 2);
  append(record, entry.method, 2);
  append(record, 0, 4);  // time, date
  append(record, entry.crc, 4);
  append(record, zip64 ? 0xffffffff : size, 4);
  append(record, zip64 ? 0xffffffff : size, 4);
  append(record, entry.name.size(), 2);
  append(record, zip64 ? 28 : 0, 2);
  append(record, 0, 10);  // comment, disk, attributes
  append(record, zip64 ? 0xffffffff : offset, 4);
  record += entry.name;
  if (zip64) {
    append(record, 1, 2);
    append(record, 24, 2);
    append(record, size, 8);
    append(record, size, 8);
    append(record, offset, 8);
  }
  return record;
}

// The local header, with an extra field of `padding` bytes in all (0 or at least 4).
inline std::string local_header(const TestEntry& entry, size_t padding) {
  std::string header;
  append(header, 0x04034b50, 4);
  append(header, 0, 2);
  append(header, entry.flags, 2);
  append(header, entry.method, 2);
  append(header, 0, 16);  // time, date, checksum, sizes: the directory has them
  append(header, entry.name.size(), 2);
  append(header, padding, 2);
  header += entry.name;
  if (padding > 0) {
    append(header, 0x4246, 2);
    append(header, padding - 4, 2);
    header += std::string(padding - 4, 'Z');
  }
  return header;
}

// The records after the directory, which starts at `offset`.
inline std::string end_records(uint64_t offset, uint64_t size, uint64_t entries, bool zip64) {
  std::string end;
  if (zip64) {
    append(end, 0x06064b50, 4);
    append(end, 44, 8);
    append(end, 0, 12);  // versions, disks
    append(end, entries, 8);
    append(end, entries, 8);
    append(end, size, 8);
    append(end, offset, 8);
    append(end, 0x07064b50, 4);
    append(end, 0, 4);
    append(end, offset + size, 8);
    append(end, 1, 4);
  }
  append(end, 0x06054b50, 4);
  append(end, 0, 4);
  append(end, zip64 ? 0xffff : entries, 2);
  append(end, zip64 ? 0xffff : entries, 2);
  append(end, zip64 ? 0xffffffff : size, 4);
  append(end, zip64 ? 0xffffffff : offset, 4);
  append(end, 0, 2);
  return end;
}

inline std::string make_zip(const std::vector<TestEntry>& entries, bool zip64 = true) {
  std::string file, directory;
  for (const TestEntry& entry : entries) {
    const size_t start = file.size();
    const size_t bare = start + local_header(entry, 4).size();
    file += local_header(entry, 4 + (64 - bare % 64) % 64) + entry.bytes;
    directory += central_record(entry, entry.claimed_offset.value_or(start),
                                entry.claimed_size.value_or(entry.bytes.size()), zip64);
  }
  const size_t at = file.size();
  return file + directory + end_records(at, directory.size(), entries.size(), zip64);
}

// A file that goes when the test ends.
class TestFile {
 public:
  explicit TestFile(std::string_view bytes, const std::string& name = "test.pt2")
      : folder_(std::filesystem::temp_directory_path() /
                ("headrace_" + std::to_string(::getpid()) + "_" +
                 std::to_string(reinterpret_cast<uintptr_t>(this)))) {
    std::filesystem::create_directory(folder_);
    path_ = folder_ / name;
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  ~TestFile() { std::filesystem::remove_all(folder_); }
  TestFile(const TestFile&) = delete;
  TestFile& operator=(const TestFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path folder_, path_;
};

}  // namespace headrace::frontend
