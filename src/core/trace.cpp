#include "core/trace.h"

#include <array>
#include <chrono>

#include "core/error.h"
#include "core/file.h"

namespace headrace {

int64_t monotonic_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Trace::add(TraceTrack track, std::string_view name, int64_t begin_ns, int64_t end_ns, int64_t bytes) {
  std::lock_guard lock(mutex_);
  events_.push_back({track, std::string(name), begin_ns, end_ns, bytes});
}

namespace {

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

std::string Trace::json() const {
  static constexpr std::array<std::string_view, 5> kTracks = {"", "build", "compute", "read", "wait"};
  std::lock_guard lock(mutex_);
  std::string out = "{\"traceEvents\":[\n";
  for (size_t i = 1; i < kTracks.size(); ++i) {
    out += fmt::format(R"({{"ph":"M","pid":1,"tid":{},"name":"thread_name","args":{{"name":"{}"}}}},)"
                       "\n",
                       i, kTracks[i]);
  }
  for (const Event& event : events_) {
    out += fmt::format(R"({{"ph":"X","pid":1,"tid":{},"name":{},"ts":{:.3f},"dur":{:.3f})",
                       static_cast<int>(event.track), json_text(event.name), event.begin_ns / 1e3,
                       (event.end_ns - event.begin_ns) / 1e3);
    if (event.bytes >= 0) out += fmt::format(R"(,"args":{{"bytes":{}}})", event.bytes);
    out += "},\n";
  }
  // The format allows no comma before the bracket: end with a process name.
  return out + R"({"ph":"M","pid":1,"name":"process_name","args":{"name":"headrace"}})"
               "\n]}\n";
}

Status Trace::write(const std::filesystem::path& path) const { return write_text_file(path, json()); }

}  // namespace headrace
