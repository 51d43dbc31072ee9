// Files: whole reads, and writes that appear all at once or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "core/unique_fd.h"

namespace headrace {

Result<UniqueFd> open_for_reading(const std::filesystem::path& path);  // kNotFound, kExhausted, kUnavailable
Result<Bytes> file_size(int fd, const std::filesystem::path& path);
// Reads exactly out.size() bytes at `offset`. Errors: kCorrupt (the file ends before), kUnavailable; both
// name `path`.
Status read_exactly(int fd, Bytes offset, std::span<std::byte> out, const std::filesystem::path& path);
Result<std::string> read_text_file(const std::filesystem::path& path, Bytes limit = mib(256));

// Whether a file outlives a loss of power at once: what is soon made again need not, and is written far
// sooner.
enum class Durable { yes, no };

// Writes aside, then commit() syncs and renames onto `path`, and syncs the folder. Destroyed before that, or
// with the process killed, nothing appears under `path`. Uses O_TMPFILE where the file system has it, so a
// killed process leaves no file at all; else a hidden name beside `path`.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::filesystem::path& path);
  AtomicFile(AtomicFile&&) noexcept;
  AtomicFile& operator=(AtomicFile&&) noexcept;
  ~AtomicFile();
  int fd() const { return fd_.get(); }
  Status write_at(Bytes offset, std::span<const std::byte> bytes);  // kExhausted: disk full
  Status commit(Durable durable = Durable::yes);

 private:
  AtomicFile() = default;
  void discard();
  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty while the file has no name
  UniqueFd fd_;
};

// Through AtomicFile.
Status write_text_file(const std::filesystem::path& path, std::string_view text,
                       Durable durable = Durable::yes);

}  // namespace headrace
