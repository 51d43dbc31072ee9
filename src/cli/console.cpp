#include "cli/console.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>

#include "cli/json_text.h"
#include "core/error.h"
#include "core/trace.h"

namespace headrace::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

// One line of stderr that is drawn over; it is wiped when the work ends.
class Bar {
 public:
  ~Bar() { wipe(); }
  void draw(const ProgressEvent& event) {
    const int64_t now = monotonic_ns();
    const bool whole = event.total > 0 && event.done >= event.total;
    if (whole) return wipe();
    if (now - drawn_ns_ < 50'000'000) return;  // often enough to see it move
    drawn_ns_ = now;
    constexpr int kCells = 28;
    const double share =
        event.total > 0 ? static_cast<double>(event.done) / static_cast<double>(event.total) : 0;
    const int full = static_cast<int>(share * kCells);
    std::string cells;
    for (int i = 0; i < kCells; ++i) cells += i < full ? "█" : "░";
    fmt::print(stderr, "\r\x1b[2K{:<14} {} {:3.0f} %", event.phase, cells, share * 100);
    std::fflush(stderr);
    shown_ = true;
  }
  void wipe() {
    if (shown_) fmt::print(stderr, "\r\x1b[2K"), std::fflush(stderr);
    shown_ = false;
  }

 private:
  int64_t drawn_ns_ = monotonic_ns();  // nothing is drawn for work that ends at once
  bool shown_ = false;
};

Console::Console(bool json) : json_(json) {
  if (isatty(STDERR_FILENO) != 0) bar_ = std::make_shared<Bar>();
}

int exit_code(Code code) {
  switch (code) {
    case Code::kOk: return 0;
    case Code::kInvalidArgument: return 2;
    case Code::kNotFound: return 3;
    case Code::kCorrupt: return 4;
    case Code::kIncompatible: return 4;
    case Code::kExhausted: return 5;
    case Code::kUnsupported: return 6;
    case Code::kUnavailable: return 7;
    case Code::kInternal: return 70;
  }
  return 70;
}

void Console::print(std::string_view text) const {
  if (bar_) bar_->wipe();
  if (!json_) std::fwrite(text.data(), 1, text.size(), stdout);
}

void Console::print_json(std::string_view object) const {
  if (bar_) bar_->wipe();
  if (json_) fmt::print("{}\n", object);
}

void Console::warn(std::string_view message) const {
  if (bar_) bar_->wipe();
  fmt::print(stderr, "warning: {}\n", message);
}

void Console::note(std::string_view message) const {
  if (bar_) bar_->wipe();
  fmt::print(stderr, "note: {}\n", message);
}

int Console::fail(const Status& status) const {
  if (bar_) bar_->wipe();
  std::fflush(stdout);
  fmt::print(stderr, "error: {}\n", status.message());
  const JsonObject error =
      JsonObject().add("code", code_name(status.code())).add("message", status.message());
  print_json(JsonObject().raw("error", error.text()).text());
  return cancelled() ? kExitCancelled : exit_code(status.code());
}

Progress Console::progress() const {
  if (!bar_) return cancellation();
  return [bar = bar_](const ProgressEvent& event) {
    bar->draw(event);
    return !cancelled();
  };
}

Progress Console::cancellation() const {
  return [](const ProgressEvent&) { return !cancelled(); };
}

Status Console::flush() const {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  return errno_status(errno, "write to standard output");
}

void cancel_on_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one is the kernel's
  sigaction(SIGINT, &action, nullptr);
}
bool cancelled() { return interrupted != 0; }

}  // namespace headrace::cli
