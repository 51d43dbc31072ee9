// The directory of a zip file, as torch.export writes it: stored entries, zip64 where needed.
//
//   [local header | name | extra | bytes] …  [central records] … [zip64 end] [zip64 locator] [end]
//
// Only the central directory is believed: PyTorch's local headers have no sizes. A local header is read for
// one number, the length of its extra field, which pads the bytes to a multiple of 64.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>

namespace headrace::frontend {

struct ZipEntry {
  std::string name;
  Bytes offset;  // of the entry's bytes in the file
  Bytes size;    // as stored
  uint16_t method = 0;
  uint16_t flags = 0;
  uint32_t crc = 0;  // CRC-32 of the bytes, as the directory says; 0 where its writer counted none
};

bool is_encrypted(const ZipEntry& entry);
bool is_compressed(const ZipEntry& entry);

// Reads exactly out.size() bytes at `offset`.
using ReadAt = std::function<Status(Bytes offset, std::span<std::byte> out)>;

// The entries in the order of the directory. Every entry lies inside the file, before the directory, and
// overlaps no other; names are unique. Folders ("a/") are left out. Errors: kCorrupt (not a zip, truncated,
// entries that lie outside or overlap), kUnsupported (several disks), and those of `read`. Messages do not
// name the file.
Result<std::vector<ZipEntry>> read_zip_directory(Bytes file_size, const ReadAt& read);

}  // namespace headrace::frontend
