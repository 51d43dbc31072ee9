// TuningChoices: what was tuned for one place (see TuningStore), in this process.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/tuning_store.h"

namespace headrace::cuda {

// Threads: any.
class TuningChoices {
 public:
  explicit TuningChoices(std::string place) : place_(std::move(place)) {}

  const std::string& place() const { return place_; }
  std::optional<std::string> find(const std::string& problem) const;
  void keep(const std::string& problem, std::string choice);
  void drop(const std::string& problem);  // a choice that the library does not take
  size_t size() const;

  // Takes in what the store has, but for problems that have a choice here.
  void load(TuningStore& store);
  // Puts into the store what was kept here and is in no store yet.
  void save(TuningStore& store);

 private:
  const std::string place_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> choices_;
  std::vector<std::string> unsaved_;  // problems
};

}  // namespace headrace::cuda
