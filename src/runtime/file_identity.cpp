#include "runtime/file_identity.h"

#include <sys/stat.h>

#include <cerrno>

#include "core/error.h"

namespace headrace::runtime {

Result<FileIdentity> FileIdentity::of(const EngineFile& file) {
  struct stat info = {};
  if (fstat(file.fd(), &info) != 0) {
    return errno_status(errno, fmt::format("look at '{}'", file.path().string()));
  }
  FileIdentity identity;
  identity.size_ = info.st_size;
  identity.modified_s_ = info.st_mtim.tv_sec;
  identity.modified_ns_ = info.st_mtim.tv_nsec;
  if (identity.size_ != file.size().count) {
    return corrupt("'{}' has {} bytes now, but had {} when it was opened", file.path().string(),
                   identity.size_, file.size().count);
  }
  return identity;
}

Status FileIdentity::check(const EngineFile& file) const {
  struct stat info = {};
  if (fstat(file.fd(), &info) != 0) {
    return errno_status(errno, fmt::format("look at '{}'", file.path().string()));
  }
  if (info.st_size != size_) {
    return corrupt("'{}' changed while it was open: it has {} bytes now and had {}; open it again",
                   file.path().string(), static_cast<int64_t>(info.st_size), size_);
  }
  if (info.st_mtim.tv_sec != modified_s_ || info.st_mtim.tv_nsec != modified_ns_) {
    return corrupt("'{}' was written to while it was open; open it again", file.path().string());
  }
  return {};
}

}  // namespace headrace::runtime
