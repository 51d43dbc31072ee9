#include "runtime/replanner.h"

#include <algorithm>
#include <utility>

namespace headrace::runtime {

const Replanner::Better* Replanner::look(const WeightPlanner& planner, const Residents& residents) {
  const bool is_other = better_ && residents != compared_;
  if (!is_new_ && !is_other) return better_ ? &*better_ : nullptr;
  if (!is_measured(pace_)) return nullptr;
  if (looks_to_pass_ > 0) {
    --looks_to_pass_;
    return nullptr;
  }
  is_new_ = false;
  better_.reset();
  return compare(planner, residents);
}

const Replanner::Better* Replanner::compare(const WeightPlanner& planner, const Residents& residents) {
  const auto fits = [&](const std::vector<bool>& set) {
    return planner.resident(set) + planner.least(set) <= residents.room;
  };
  if (!fits(residents.now)) return nullptr;
  const StreamForecast now = planner.forecast(residents.now, pace_, residents.room);
  if (!is_worth_moving(now.run_ns, now.run_ns - now.wait_ns)) return nullptr;
  std::vector<bool> set = planner.choose(residents.budget, pace_);
  if (set == residents.now || !fits(set)) return nullptr;
  if (!is_worth_moving(now.run_ns, planner.forecast(set, pace_, residents.room).run_ns)) return nullptr;
  better_ = Better{std::move(set), now.run_ns};
  compared_ = residents;
  return &*better_;
}

void Replanner::moved() {
  constexpr int64_t kMostPatience = 1024;
  better_.reset();
  looks_to_pass_ = patience_;
  patience_ = std::clamp<int64_t>(patience_ * 2, 1, kMostPatience);
}

void Replanner::planned() {
  better_.reset();
  is_new_ = false;
}

}  // namespace headrace::runtime
