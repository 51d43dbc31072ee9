#include "python/interrupts.h"

#include <nanobind/nanobind.h>

#include <chrono>

namespace headrace::python {

Progress watch_signals() {
  using Clock = std::chrono::steady_clock;
  // Asking takes the GIL, which another thread may hold for long: so seldom.
  constexpr auto kBetween = std::chrono::milliseconds(50);
  return [kBetween, next = Clock::now() + kBetween](const ProgressEvent&) mutable {
    const Clock::time_point now = Clock::now();
    if (now < next) return true;
    next = now + kBetween;
    nanobind::gil_scoped_acquire gil;
    return PyErr_CheckSignals() == 0;
  };
}

}  // namespace headrace::python
