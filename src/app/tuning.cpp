#include "app/tuning.h"

#include <algorithm>

#include "cache/tuning_folder.h"
#include "core/error.h"

namespace headrace {

void OpenOptions::tune_within(Bytes memory_limit) {
  tuning_memory = std::min(tuning_memory, Bytes{std::max<int64_t>(0, memory_limit.count) / 4});
}

}  // namespace headrace

namespace headrace::app {

Result<std::shared_ptr<Tuning>> make_tuning(const OpenOptions& options, bool on_gpu) {
  constexpr double kLongest = 1e6;  // in seconds; nobody waits longer
  if (!(options.tuning_seconds >= 0))
    return invalid_argument("tuning takes a number of seconds, 0 or more; {} was given",
                            options.tuning_seconds);
  if (options.tuning_memory < Bytes{})
    return invalid_argument("tuning takes a number of bytes of memory, 0 or more; {} was given",
                            options.tuning_memory.count);
  TuningOptions tuning;
  tuning.memory = options.tuning_memory;
  tuning.deterministic = options.deterministic;
  const std::chrono::duration<double> limit(std::min(options.tuning_seconds, kLongest));
  tuning.limit = std::chrono::duration_cast<std::chrono::nanoseconds>(limit);
  if (on_gpu && !options.deterministic) tuning.store = cache::open_user_tuning();
  auto made = std::make_shared<Tuning>(std::move(tuning));
  made->set_progress(options.progress);
  return made;
}

}  // namespace headrace::app
