#include "cache/user_folder.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "core/error.h"
#include "core/unique_fd.h"

namespace headrace::cache {
namespace {

namespace fs = std::filesystem;

fs::path from_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

fs::path home() {
  if (fs::path named = from_environment("HOME"); named.is_absolute()) return named;
  std::array<char, 4096> text;
  passwd entry = {};
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, text.data(), text.size(), &found) != 0 || !found) return {};
  return found->pw_dir ? found->pw_dir : "";
}

}  // namespace

Result<fs::path> user_cache_folder() {
  if (const fs::path own = from_environment("HEADRACE_CACHE_DIR"); !own.empty()) {
    std::error_code error;
    fs::path whole = fs::absolute(own, error);
    return error ? own : whole;
  }
  // As the XDG specification has it, a relative path is no path.
  if (const fs::path xdg = from_environment("XDG_CACHE_HOME"); xdg.is_absolute()) return xdg / "headrace";
  if (const fs::path folder = home(); folder.is_absolute()) return folder / ".cache" / "headrace";
  return not_found("this user has no home folder; name a folder for Headrace's caches in HEADRACE_CACHE_DIR");
}

Status make_private_folder(const fs::path& folder) {
  const std::string what = fmt::format("use the folder '{}'", folder.string());
  std::error_code error;
  if (folder.has_parent_path()) fs::create_directories(folder.parent_path(), error);
  if (error) return errno_status(error.value(), what);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return errno_status(errno, what);
  // Looked at through a descriptor, and not through a link that somebody else may have put there.
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid() && (errno == ENOTDIR || errno == ELOOP))
    return invalid_argument("{}: it is no folder", what);
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) return errno_status(errno, what);
  if (info.st_uid != ::geteuid())
    return invalid_argument("{}: it belongs to user {}, not to this one ({})", what, info.st_uid,
                            ::geteuid());
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return invalid_argument("{}: others can write to it (mode {:o}); chmod 700 it", what,
                            info.st_mode & 07777u);
  return {};
}

}  // namespace headrace::cache
