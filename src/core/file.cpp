#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/error.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

Status sync_folder(const fs::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return errno_status(errno, fmt::format("open folder '{}'", folder.string()));
  // Some file systems cannot sync a folder; the rename has happened all the same.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) {
    return errno_status(errno, fmt::format("sync folder '{}'", folder.string()));
  }
  return {};
}

// A name beside `path` that no other process or thread uses.
fs::path hidden_name(const fs::path& path) {
  static int counter = 0;
  return folder_of(path) / fmt::format(".{}.{}.{}.partial", path.filename().string(), ::getpid(),
                                       __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED));
}

}  // namespace

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<UniqueFd> open_for_reading(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return errno_status(errno, fmt::format("open '{}'", path.string()));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return errno_status(errno, fmt::format("stat '{}'", path.string()));
  if (S_ISDIR(info.st_mode)) return invalid_argument("open '{}': it is a folder, not a file", path.string());
  return fd;
}

Result<Bytes> file_size(int fd, const fs::path& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno_status(errno, fmt::format("stat '{}'", path.string()));
  return Bytes{info.st_size};
}

Status read_exactly(int fd, Bytes offset, std::span<std::byte> out, const fs::path& path) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd, out.data() + done, out.size() - done, offset.count + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_status(errno, fmt::format("read '{}'", path.string()));
    if (got == 0) {
      return corrupt("'{}' is too short: {} bytes wanted at {}, {} found", path.string(), out.size(),
                     offset.count, done);
    }
    done += static_cast<size_t>(got);
  }
  return {};
}

Result<std::string> read_text_file(const fs::path& path, Bytes limit) {
  HR_ASSIGN(const UniqueFd fd, open_for_reading(path));
  HR_ASSIGN(const Bytes size, file_size(fd.get(), path));
  if (size > limit)
    return invalid_argument("'{}' has {} bytes, more than the {} allowed", path.string(), size.count,
                            limit.count);
  std::string text(static_cast<size_t>(size.count), '\0');
  HR_TRY(read_exactly(fd.get(), Bytes{0}, std::as_writable_bytes(std::span(text)), path));
  return text;
}

Result<AtomicFile> AtomicFile::create(const fs::path& path) {
  AtomicFile file;
  file.path_ = path;
  const fs::path folder = folder_of(path);
  const std::string what = fmt::format("write '{}'", path.string());
  if (fs::is_directory(path)) return invalid_argument("{}: it is a folder, not a file", what);
  file.fd_.reset(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
  if (file.fd_.valid()) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return errno_status(errno, what);
  file.temporary_ = hidden_name(path);
  file.fd_.reset(::open(file.temporary_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644));
  if (!file.fd_.valid()) {
    file.temporary_.clear();
    return errno_status(errno, what);
  }
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this != &other) {
    discard();
    path_ = std::move(other.path_);
    temporary_ = std::exchange(other.temporary_, {});
    fd_ = std::move(other.fd_);
  }
  return *this;
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
  fd_.reset();
}

Status AtomicFile::write_at(Bytes offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd_.get(), bytes.data(), bytes.size(), offset.count);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno_status(errno, fmt::format("write '{}'", path_.string()));
    offset += Bytes{put};
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return {};
}

Status AtomicFile::commit(Durable durable) {
  const std::string what = fmt::format("write '{}'", path_.string());
  if (durable == Durable::yes && ::fsync(fd_.get()) != 0) return errno_status(errno, what);
  if (temporary_.empty()) {  // linkat cannot replace a file, so a name aside comes first also here
    const fs::path name = hidden_name(path_);
    const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0)
      return errno_status(errno, what);
    temporary_ = name;
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return errno_status(errno, what);
  temporary_.clear();
  fd_.reset();
  return durable == Durable::yes ? sync_folder(folder_of(path_)) : Status();
}

Status write_text_file(const fs::path& path, std::string_view text, Durable durable) {
  HR_ASSIGN(AtomicFile file, AtomicFile::create(path));
  HR_TRY(file.write_at(Bytes{0}, std::as_bytes(std::span(text))));
  return file.commit(durable);
}

}  // namespace headrace
