// The makers of Status messages, and the two macros that return early.
#pragma once

#include <fmt/core.h>

#include <headrace/status.h>

namespace headrace {

#define HR_MAKE_ERROR(function, code)                                      \
  template <class... Args>                                                 \
  Status function(fmt::format_string<Args...> format, Args&&... args) {    \
    return Status(code, fmt::format(format, std::forward<Args>(args)...)); \
  }
HR_MAKE_ERROR(invalid_argument, Code::kInvalidArgument)
HR_MAKE_ERROR(unsupported, Code::kUnsupported)
HR_MAKE_ERROR(not_found, Code::kNotFound)
HR_MAKE_ERROR(corrupt, Code::kCorrupt)
HR_MAKE_ERROR(incompatible, Code::kIncompatible)
HR_MAKE_ERROR(exhausted, Code::kExhausted)
HR_MAKE_ERROR(unavailable, Code::kUnavailable)
HR_MAKE_ERROR(internal_error, Code::kInternal)
#undef HR_MAKE_ERROR

// The status for a failed system call on `what` ("read 'a.engine'"): the code follows from errno.
Status errno_status(int error_number, std::string_view what);

// HR_TRY(expression giving a Status): returns it when it is not ok.
#define HR_TRY(expression)                        \
  do {                                            \
    ::headrace::Status hr_status_ = (expression); \
    if (!hr_status_.ok()) return hr_status_;      \
  } while (false)

#define HR_CONCAT_INNER(a, b) a##b
#define HR_CONCAT(a, b) HR_CONCAT_INNER(a, b)
#define HR_ASSIGN_INNER(result, declaration, expression) \
  auto result = (expression);                            \
  if (!result.ok()) return result.status();              \
  declaration = *std::move(result)
// HR_ASSIGN(auto x, expression giving a Result): declares x, or returns the status.
#define HR_ASSIGN(declaration, expression) \
  HR_ASSIGN_INNER(HR_CONCAT(hr_result_, __LINE__), declaration, expression)

}  // namespace headrace
