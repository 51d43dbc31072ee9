// Errors: where a Status becomes a Python exception.
#pragma once

#include <nanobind/nanobind.h>

#include <utility>

#include <headrace/status.h>

namespace headrace::python {

// Throws what a Python user expects of a code: ValueError, NotImplementedError, FileNotFoundError,
// MemoryError or RuntimeError, with the message as it stands. Where Python has an exception already (a signal
// handler's KeyboardInterrupt, which cancelled the work), throws that. REQUIRES: !status.ok(), and the GIL.
[[noreturn]] void throw_python(const Status& status);

inline void check(const Status& status) {
  if (!status.ok()) throw_python(status);
}

template <class T>
T unwrap(Result<T> result) {
  if (!result.ok()) throw_python(result.status());
  return *std::move(result);
}

}  // namespace headrace::python
