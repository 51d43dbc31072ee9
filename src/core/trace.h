// Trace: events with names and times, written in the Chrome trace format that Perfetto opens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>

namespace headrace {

enum class TraceTrack : uint8_t { kBuild = 1, kCompute = 2, kRead = 3, kWait = 4 };

// Threads: add() may be called by several.
class Trace {
 public:
  // An event of [begin_ns, end_ns) on a monotonic clock; bytes < 0: not about bytes.
  void add(TraceTrack track, std::string_view name, int64_t begin_ns, int64_t end_ns, int64_t bytes = -1);
  std::string json() const;
  Status write(const std::filesystem::path& path) const;

 private:
  struct Event {
    TraceTrack track;
    std::string name;
    int64_t begin_ns, end_ns, bytes;
  };
  mutable std::mutex mutex_;
  std::vector<Event> events_;
};

int64_t monotonic_ns();

}  // namespace headrace
