#include <array>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace headrace {

std::string_view code_name(Code code) {
  static constexpr std::array<std::string_view, 9> kNames = {"ok",        "invalid_argument", "unsupported",
                                                             "not_found", "corrupt",          "incompatible",
                                                             "exhausted", "unavailable",      "internal"};
  return kNames[static_cast<size_t>(code)];
}

Status Status::with_context(std::string_view context) const {
  if (ok()) return *this;
  return Status(code_, fmt::format("{}: {}", context, message_));
}

namespace {

Code code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return Code::kNotFound;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return Code::kExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP: return Code::kInvalidArgument;
    default: return Code::kUnavailable;
  }
}

std::string_view advice_for(int error_number) {
  switch (error_number) {
    case EMFILE: return "; raise the limit of open files (ulimit -n) or close some";
    case ENOSPC:
    case EDQUOT: return "; free space or choose another folder";
    case EFBIG: return "; the file size limit (ulimit -f) is too small";
    case EROFS: return "; choose a folder on a file system that can be written";
    case EACCES:
    case EPERM: return "; check its permissions";
    default: return "";
  }
}

}  // namespace

Status errno_status(int error_number, std::string_view what) {
  return Status(code_of_errno(error_number),
                fmt::format("{}: {}{}", what, std::strerror(error_number), advice_for(error_number)));
}

}  // namespace headrace
