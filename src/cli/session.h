// Session: an engine opened with the budgets that the command line gives.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <headrace/headrace.h>
#include "cli/console.h"

namespace headrace::cli {

// The bytes that a budget as typed means for this engine; nullopt: auto. One above the total is clamped, with
// a warning. Errors: kInvalidArgument with the text.
Result<std::optional<Bytes>> resolve_budget(const std::string& text, const Engine& engine,
                                            const Console& console);

struct SessionOptions {
  std::string engine;
  std::optional<std::string> weight_budget;
  std::optional<std::string> memory_limit;
  std::optional<std::string> host_limit;
  std::string device;
  std::string model;  // the archive to pack the weights again from, where need be
  double tuning_seconds = OpenOptions().tuning_seconds;
  bool deterministic = false;
  int threads = 0;
};

struct Session {
  Engine engine;
  Context context;
};

// Errors: those of opening; kExhausted where the memory limit is too small, with the least that works.
Result<Engine> open_engine(const SessionOptions& options, const Console& console);
Result<Context> make_context(const Engine& engine, const SessionOptions& options, const Console& console);
Result<Session> open_session(const SessionOptions& options, const Console& console);

// A whole number out of "1,8,32"; a list out of "all,50%,0". Errors: kInvalidArgument.
Result<std::vector<int64_t>> parse_counts(const std::string& text, std::string_view option);
std::vector<std::string> split_list(const std::string& text);

}  // namespace headrace::cli
