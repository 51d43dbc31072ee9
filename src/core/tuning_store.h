// TuningStore: choices that were tuned on this machine, kept from process to process.
//
// A problem ("matmul 128x768x768 f16 …") and its choice are lines of text that only the back end understands.
// A place is all that a choice depends on beside its problem, as text: the device, its driver, the libraries'
// versions. Choices of one place are never given for another.
//
// A store never fails: what cannot be read is not there, and what cannot be written is not kept.
// Threads: any.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace headrace {

struct TunedChoice {
  std::string problem, choice;
  bool operator==(const TunedChoice&) const = default;
};

class TuningStore {
 public:
  virtual ~TuningStore() = default;
  // What is kept for `place`, the oldest first.
  virtual std::vector<TunedChoice> load(const std::string& place) = 0;
  // Adds to it; a problem that is kept already gets the new choice.
  virtual void keep(const std::string& place, const std::vector<TunedChoice>& tuned) = 0;
  // What was in the way of either, in sentences for people, each once.
  virtual std::vector<std::string> warnings() const = 0;
};

}  // namespace headrace
