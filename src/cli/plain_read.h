// How fast a file can be read with nothing else to do: what streaming is measured against.
#pragma once

#include <filesystem>

#include <headrace/status.h>

namespace headrace::cli {

struct PlainRead {
  double bytes_per_second = 0;
  bool direct = true;  // false: the file system has no O_DIRECT, so the page cache was dropped first
};

// Reads the file, or the first 2 GiB of it, front to back, twice or more, and gives the best rate.
Result<PlainRead> plain_read(const std::filesystem::path& path);

}  // namespace headrace::cli
