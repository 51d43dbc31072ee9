// Progress of long work, and the way to cancel it.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace headrace {

struct ProgressEvent {
  // "read graph", "optimise", "write weights", "tune", "load weights", "pack again", "run"
  std::string_view phase;
  int64_t done = 0;
  int64_t total = 0;  // in units of the phase: bytes, nodes, kernels or steps
};

// Called from the working thread. Returning false cancels: the work stops at its next safe point with
// kUnavailable "cancelled", and leaves nothing behind.
using Progress = std::function<bool(const ProgressEvent&)>;

}  // namespace headrace
