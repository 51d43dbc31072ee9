#include "cli/plain_read.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include <headrace/bytes.h>
#include "core/error.h"
#include "core/file.h"
#include "core/trace.h"

namespace headrace::cli {
namespace {

// Measured: four reads of 1 MiB at a time, into huge pages, come within a few per cent of the best reader.
constexpr int64_t kBlock = mib(1).count;
constexpr size_t kReaders = 4;
constexpr size_t kHugePage = 2 << 20;

struct Pass {  // over the file, shared by its readers
  int fd;
  int64_t end;
  std::atomic<int64_t> next = 0, done = 0;
  std::atomic<int> error = 0;
};

void read_blocks(Pass& pass, std::byte* block) {
  for (int64_t at = pass.next.fetch_add(kBlock); at < pass.end && pass.error == 0;) {
    const ssize_t got = pread(pass.fd, block, kBlock, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) pass.error = errno;
    pass.done += std::max<ssize_t>(0, got);
    at = pass.next.fetch_add(kBlock);
  }
}

Result<double> bytes_per_second(int fd, int64_t end, std::byte* blocks, const std::filesystem::path& path) {
  Pass pass{fd, end};
  const int64_t begin = monotonic_ns();
  {
    std::vector<std::jthread> others;
    for (size_t i = 1; i < kReaders; ++i) {
      try {  // the library's only way to say so
        others.emplace_back([&pass, block = blocks + i * kBlock] { read_blocks(pass, block); });
      } catch (const std::system_error&) {
        break;  // fewer readers will do
      }
    }
    read_blocks(pass, blocks);
  }
  if (pass.error != 0) return errno_status(pass.error, "read '" + path.string() + "'");
  const double seconds = static_cast<double>(std::max<int64_t>(monotonic_ns() - begin, 1)) * 1e-9;
  return static_cast<double>(pass.done.load()) / seconds;
}

}  // namespace

Result<PlainRead> plain_read(const std::filesystem::path& path) {
  constexpr int64_t kLeastNs = 200'000'000;  // small files are over too soon for one reading to tell
  PlainRead result;
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  if (!fd.valid() && errno == EINVAL) {
    result.direct = false;
    HR_ASSIGN(fd, open_for_reading(path));
  }
  if (!fd.valid()) return errno_status(errno, "open '" + path.string() + "'");
  std::error_code error;
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error) return errno_status(error.value(), "look at '" + path.string() + "'");
  constexpr size_t kMemory = kReaders * kBlock;
  const std::unique_ptr<void, void (*)(void*)> blocks(std::aligned_alloc(kHugePage, kMemory), std::free);
  if (!blocks) return exhausted("cannot allocate {} bytes to read into", kMemory);
  (void)madvise(blocks.get(), kMemory, MADV_HUGEPAGE);  // a hint only
  const int64_t first = monotonic_ns();
  for (int round = 0; round < 2 || monotonic_ns() - first < kLeastNs; ++round) {
    if (!result.direct) posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    HR_ASSIGN(const double rate, bytes_per_second(fd.get(), std::min(size, gib(2).count),
                                                  static_cast<std::byte*>(blocks.get()), path));
    result.bytes_per_second = std::max(result.bytes_per_second, rate);
  }
  return result;
}

}  // namespace headrace::cli
