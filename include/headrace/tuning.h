// What became of the choices that only the device can make: which of a library's kernels is the fastest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace headrace {

// Of one open engine. A kernel is counted once, however many steps use it.
struct TuningReport {
  int64_t tuned = 0;    // kernels chosen by timing
  int64_t known = 0;    // as tuned before, by this process or another one
  int64_t untuned = 0;  // left at the library's first guess: the time or the memory to tune did not suffice
  int64_t ns = 0;       // that tuning took
  std::vector<std::string> warnings;  // sentences for people: why choices are not kept on the disk
  std::string text() const;           // one line for people; empty where there was nothing to choose
};

}  // namespace headrace
