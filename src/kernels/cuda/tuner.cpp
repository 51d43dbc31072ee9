#include "kernels/cuda/tuner.h"

#include <limits>

#include "core/error.h"

namespace headrace::cuda {

std::optional<size_t> Tuner::fastest(Candidates& candidates, size_t count, Tuning& tuning) {
  if (count == 1) return 0;
  const Bytes memory = candidates.memory();
  if (memory > tuning.memory()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto begin = clock_();
  const std::optional<size_t> best = timer_.begin(memory).ok() ? time_all(candidates, count) : std::nullopt;
  tuning.charge(clock_() - begin);
  return best;
}

std::optional<size_t> Tuner::time_all(Candidates& candidates, size_t count) {
  const auto end = clock_() + limits_.problem;
  std::optional<size_t> best;
  double best_ms = std::numeric_limits<double>::infinity();
  for (size_t next = 0; next < count && clock_() <= end;) {
    const Result<double> ms = timer_.time_ms(candidates, next, best_ms);
    if (ms.ok() && *ms < best_ms) {
      best_ms = *ms;
      best = next;
    }
    if (++next == count && best) count = candidates.widen(*best);
  }
  return timer_.end().ok() ? best : std::nullopt;
}

Result<TuningOutcome> Tuner::choose(const std::string& problem, ChoiceMode mode, Candidates& candidates,
                                    TuningChoices& choices, Tuning& tuning) {
  if (mode != ChoiceMode::kDeterministic) {
    if (const std::optional<std::string> kept = choices.find(problem)) {
      if (candidates.recall(*kept)) return TuningOutcome::kKnown;
      choices.drop(problem);
    }
  }
  const bool timed = mode == ChoiceMode::kTimed && !tuning.exhausted();
  if (!timed) {
    HR_TRY(candidates.find(false).status());
    candidates.settle(0);
    return TuningOutcome::kUntuned;
  }
  const auto begin = clock_();
  const Result<size_t> count = candidates.find(true);
  tuning.charge(clock_() - begin);
  HR_TRY(count.status());
  const std::optional<size_t> best = fastest(candidates, *count, tuning);
  const size_t chosen = best.value_or(0);
  candidates.settle(chosen);
  if (!best.has_value()) return TuningOutcome::kUntuned;
  choices.keep(problem, candidates.text(chosen));
  return TuningOutcome::kTuned;
}

}  // namespace headrace::cuda
