#include "cli/session.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"
#include "core/units.h"

namespace headrace::cli {

Result<std::optional<Bytes>> resolve_budget(const std::string& text, const Engine& engine,
                                            const Console& console) {
  HR_ASSIGN(const BudgetText budget, parse_budget(text));
  const Bytes total = engine.streamable();
  switch (budget.kind) {
    case BudgetText::Kind::kAuto: return std::optional<Bytes>();
    case BudgetText::Kind::kAll: return std::optional(total);
    case BudgetText::Kind::kShare: {
      constexpr int64_t kWhole = 1'000'000;  // in two parts, so that no product leaves int64
      const int64_t share =
          total.count / kWhole * budget.millionths + total.count % kWhole * budget.millionths / kWhole;
      return std::optional(Bytes{share});
    }
    case BudgetText::Kind::kBytes: break;
  }
  if (budget.bytes > total) {
    console.warn(
        fmt::format("weight budget {} is more than the {} of streamable weights; all of them stay resident",
                    to_text(budget.bytes), to_text(total)));
  }
  return std::optional(std::min(budget.bytes, total));
}

namespace {

// Says so where an engine is packed again: it takes time, and replaces the file.
Progress tell_packing(Progress progress, const std::string& path, const Console& console) {
  return [progress = std::move(progress), path, &console, told = false](const ProgressEvent& event) mutable {
    if (!told && event.phase == "pack again") {
      told = true;
      const Result<EngineInfo> old = inspect_engine(path);
      console.note(fmt::format("{} was made for {}; packing its weights again for this machine", path,
                               old.ok() ? old->fingerprint() : "another machine"));
    }
    return progress(event);
  };
}

}  // namespace

Result<Engine> open_engine(const SessionOptions& options, const Console& console) {
  OpenOptions open;
  open.progress = tell_packing(console.progress(), options.engine, console);
  open.device = options.device;
  open.model = options.model;
  open.tuning_seconds = options.tuning_seconds;
  open.deterministic = options.deterministic;
  if (options.host_limit) {
    HR_ASSIGN(open.host_limit, parse_bytes(*options.host_limit));
  }
  if (options.memory_limit) {
    HR_ASSIGN(const Bytes limit, parse_bytes(*options.memory_limit));
    open.tune_within(limit);
  }
  // What is asked for is set once the engine's total is known; nothing is read twice. A memory limit chooses
  // the budget when the context is made.
  if (options.memory_limit || (options.weight_budget && *options.weight_budget != "auto")) {
    open.weight_budget = Bytes{0};
  }
  if (options.weight_budget) HR_TRY(parse_budget(*options.weight_budget).status());
  HR_ASSIGN(Engine engine, Engine::open(options.engine, open));
  const TuningReport tuning = engine.tuning();
  for (const std::string& warning : tuning.warnings) console.warn(warning);
  if (const std::string text = tuning.text(); !text.empty()) console.note(text);
  if (options.weight_budget && *options.weight_budget != "auto") {
    HR_ASSIGN(const std::optional<Bytes> budget, resolve_budget(*options.weight_budget, engine, console));
    HR_TRY(engine.set_weight_budget(budget));
  }
  return engine;
}

Result<Context> make_context(const Engine& engine, const SessionOptions& options, const Console& console) {
  ContextOptions wanted;
  wanted.threads = options.threads;
  if (options.memory_limit) {
    HR_ASSIGN(wanted.memory_limit, parse_bytes(*options.memory_limit));
  }
  HR_ASSIGN(Context context, engine.context(wanted));
  context.set_progress(console.cancellation());
  // Within the limit, as much as fits.
  if (options.memory_limit && options.weight_budget.value_or("auto") == "auto") {
    HR_TRY(context.set_weight_budget(std::nullopt));
  }
  return context;
}

Result<Session> open_session(const SessionOptions& options, const Console& console) {
  if (options.memory_limit) HR_TRY(parse_bytes(*options.memory_limit).status());
  HR_ASSIGN(Engine engine, open_engine(options, console));
  HR_ASSIGN(Context context, make_context(engine, options, console));
  return Session{std::move(engine), std::move(context)};
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0;;) {
    const size_t comma = text.find(',', at);
    parts.push_back(text.substr(at, comma == std::string::npos ? comma : comma - at));
    if (comma == std::string::npos) return parts;
    at = comma + 1;
  }
}

Result<std::vector<int64_t>> parse_counts(const std::string& text, std::string_view option) {
  std::vector<int64_t> counts;
  for (const std::string& part : split_list(text)) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size() || value < 1) {
      return invalid_argument("{} {}: '{}' is no count; write for example {} 1,8,32", option, text, part,
                              option);
    }
    counts.push_back(value);
  }
  return counts;
}

}  // namespace headrace::cli
