#include "device/read_pieces.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "core/error.h"
#include "core/units.h"

namespace headrace {
namespace {

// Measured: pieces of 512 KiB to 1 MiB, many in flight, reach the rate of the best plain O_DIRECT reader;
// with pieces of 2 MiB and more it falls by a tenth.
constexpr int64_t kPiece = int64_t{1} << 19;

}  // namespace

Result<ReadFile> ReadFile::open(int fd, std::string_view name) {
  ReadFile file;
  file.borrowed_ = fd;
  file.name_ = name;
  struct stat info = {};
  if (fstat(fd, &info) != 0) return errno_status(errno, fmt::format("look at '{}'", name));
  file.size_ = {info.st_size};
  // By descriptor, not by name: the name may stand for another file by now.
  const std::string path = fmt::format("/proc/self/fd/{}", fd);
  const int direct = ::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (direct < 0 && (errno == EMFILE || errno == ENFILE)) {
    return errno_status(errno, fmt::format("open '{}' for streaming", name));
  }
  if (direct >= 0) file.direct_.reset(direct);
  return file;
}

void ReadFile::drop(int64_t offset, int64_t size) const {
  if (!direct()) (void)posix_fadvise(borrowed_, offset, size, POSIX_FADV_DONTNEED);
}

Status ReadFile::check(Bytes offset, Bytes size, const std::byte* out) const {
  constexpr int64_t kAlign = kReadAlignment.count;
  if (offset.count < 0 || size.count < 0 || (offset.count | size.count) % kAlign != 0 ||
      reinterpret_cast<uintptr_t>(out) % kAlign != 0) {
    return internal_error("read of '{}': offset {}, size {} and address must be multiples of {}", name_,
                          offset.count, size.count, kAlign);
  }
  if (size.count > 0 && (offset >= size_ || size >= size_ - offset + kReadAlignment)) {
    return corrupt("read '{}': {} at offset {} lie past its end; the file has only {} bytes", name_,
                   to_text(size), offset.count, size_.count);
  }
  return {};
}

PieceList cut_into_pieces(const ReadFile& file, Bytes offset, Bytes size, std::byte* out) {
  PieceList list;
  list.pieces.reserve(static_cast<size_t>((size.count + kPiece - 1) / kPiece));
  for (int64_t at = 0; at < size.count; at += kPiece) {
    const int64_t count = std::min(kPiece, size.count - at);
    const int64_t needed = std::min(count, file.size().count - offset.count - at);
    list.pieces.push_back({nullptr, offset.count + at, out + at, count, needed, 0});
  }
  list.left = static_cast<int64_t>(list.pieces.size());
  return list;
}

bool take_answer(ReadFile& file, ReadPiece& piece, int64_t answer, Status& failure) {
  // A thread that ends takes its unfinished requests with it: asked again, like an interrupted call.
  if (answer == -EINTR || answer == -EAGAIN || answer == -ECANCELED) return false;
  if (answer == -EINVAL && file.direct()) {
    file.give_up_direct();
    return false;
  }
  if (answer < 0) {
    failure = errno_status(static_cast<int>(-answer), fmt::format("read '{}'", file.name()));
    return true;
  }
  piece.done += answer;
  if (piece.done >= piece.needed) return true;
  // A direct read stops between blocks only where the file ends.
  if (answer == 0 || (file.direct() && piece.done % kReadAlignment.count != 0)) {
    failure = corrupt("read '{}': the file is shorter than when it was opened: it ends at {} of {} bytes",
                      file.name(), piece.offset + piece.done, file.size().count);
    return true;
  }
  return false;
}

}  // namespace headrace
