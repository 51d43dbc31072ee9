#include "kernels/tuning.h"

#include "core/error.h"

namespace headrace {

bool Tuning::exhausted() const {
  const std::lock_guard lock(mutex_);
  return options_.deterministic || spent_ >= options_.limit;
}

void Tuning::charge(std::chrono::nanoseconds time) {
  const std::lock_guard lock(mutex_);
  spent_ += time;
}

void Tuning::note(const std::string& problem, TuningOutcome outcome) {
  const std::lock_guard lock(mutex_);
  if (!noted_.insert(problem).second) return;
  switch (outcome) {
    case TuningOutcome::kTuned: ++tuned_; break;
    case TuningOutcome::kKnown: ++known_; break;
    case TuningOutcome::kUntuned: ++untuned_; break;
  }
}

TuningReport Tuning::report() const {
  TuningReport report;
  if (store()) report.warnings = store()->warnings();
  const std::lock_guard lock(mutex_);
  report.tuned = tuned_, report.known = known_, report.untuned = untuned_;
  report.ns = spent_.count();
  return report;
}

Status Tuning::progress(int64_t done, int64_t total) const {
  if (!progress_ || progress_({"tune", done, total})) return {};
  return unavailable("cancelled");
}

std::string TuningReport::text() const {
  const auto kernels = [](int64_t count) { return fmt::format("{} kernel{}", count, count == 1 ? "" : "s"); };
  std::string line;
  const auto add = [&](std::string part) { line += (line.empty() ? "" : ", ") + std::move(part); };
  if (tuned > 0) add(fmt::format("tuned {} in {:.1f} s", kernels(tuned), static_cast<double>(ns) * 1e-9));
  if (known > 0) add(fmt::format("{} tuned before", kernels(known)));
  if (untuned > 0) add(fmt::format("{} left untuned", kernels(untuned)));
  if (known > 0 && tuned + untuned == 0) line += ": nothing to tune";
  return line;
}

}  // namespace headrace
