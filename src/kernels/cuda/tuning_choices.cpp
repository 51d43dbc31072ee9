#include "kernels/cuda/tuning_choices.h"

#include <utility>

namespace headrace::cuda {

std::optional<std::string> TuningChoices::find(const std::string& problem) const {
  const std::lock_guard lock(mutex_);
  const auto found = choices_.find(problem);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void TuningChoices::keep(const std::string& problem, std::string choice) {
  const std::lock_guard lock(mutex_);
  choices_[problem] = std::move(choice);
  unsaved_.push_back(problem);
}

void TuningChoices::drop(const std::string& problem) {
  const std::lock_guard lock(mutex_);
  choices_.erase(problem);
}

size_t TuningChoices::size() const {
  const std::lock_guard lock(mutex_);
  return choices_.size();
}

void TuningChoices::load(TuningStore& store) {
  std::vector<TunedChoice> kept = store.load(place_);
  const std::lock_guard lock(mutex_);
  for (TunedChoice& choice : kept) choices_.emplace(std::move(choice.problem), std::move(choice.choice));
}

void TuningChoices::save(TuningStore& store) {
  std::vector<TunedChoice> tuned;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& problem : std::exchange(unsaved_, {})) {
      const auto found = choices_.find(problem);
      if (found != choices_.end()) tuned.push_back({problem, found->second});
    }
  }
  if (!tuned.empty()) store.keep(place_, tuned);
}

}  // namespace headrace::cuda
