#include "cli/plain_read.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include <headrace/bytes.h>
#include "core/error.h"
#include "core/file.h"
#include "core/trace.h"

namespace headrace::cli {

Result<PlainRead> plain_read(const std::filesystem::path& path) {
  constexpr size_t kBlock = 8 << 20, kAlignment = 4096;
  constexpr int64_t kLeastNs = 200'000'000;  // small files are over too soon for one reading to tell
  PlainRead result;
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  if (!fd.valid() && errno == EINVAL) {
    result.direct = false;
    HR_ASSIGN(fd, open_for_reading(path));
  }
  if (!fd.valid()) return errno_status(errno, "open '" + path.string() + "'");
  const std::unique_ptr<void, void (*)(void*)> block(std::aligned_alloc(kAlignment, kBlock), std::free);
  if (!block) return exhausted("cannot allocate {} bytes to read into", kBlock);
  const int64_t first = monotonic_ns();
  for (int round = 0; round < 2 || monotonic_ns() - first < kLeastNs; ++round) {
    if (!result.direct) posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    const int64_t begin = monotonic_ns();
    int64_t done = 0;
    while (done < gib(2).count) {
      const ssize_t got = pread(fd.get(), block.get(), kBlock, done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return errno_status(errno, "read '" + path.string() + "'");
      done += got;
      if (got < static_cast<ssize_t>(kBlock)) break;  // the end of the file
    }
    const double seconds = static_cast<double>(std::max<int64_t>(monotonic_ns() - begin, 1)) * 1e-9;
    result.bytes_per_second = std::max(result.bytes_per_second, static_cast<double>(done) / seconds);
  }
  return result;
}

}  // namespace headrace::cli
