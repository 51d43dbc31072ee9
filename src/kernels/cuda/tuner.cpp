#include "kernels/cuda/tuner.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace headrace::cuda {
namespace {

constexpr int kTimedRuns = 16;   // in a row, after one that warms up
constexpr int kTimedRounds = 3;  // of such rows; the best counts

}  // namespace

std::optional<std::string> TuningChoices::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = choices_.find(key);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void TuningChoices::keep(const std::string& key, std::string choice) {
  const std::lock_guard lock(mutex_);
  choices_[key] = std::move(choice);
}

size_t TuningChoices::size() const {
  const std::lock_guard lock(mutex_);
  return choices_.size();
}

std::string TuningChoices::text() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [key, choice] : choices_) text += key + '\t' + choice + '\n';
  return text;
}

Status TuningChoices::read(std::string_view text) {
  std::map<std::string, std::string> read;
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = text.find('\n'), tab = text.find('\t');
    if (end == std::string_view::npos || tab == std::string_view::npos || tab >= end)
      return corrupt("line {} of the tuning choices is no key and choice; delete the stored choices", line);
    read[std::string(text.substr(0, tab))] = std::string(text.substr(tab + 1, end - tab - 1));
    text.remove_prefix(end + 1);
  }
  const std::lock_guard lock(mutex_);
  for (auto& [key, choice] : read) choices_[key] = std::move(choice);
  return {};
}

Tuner::~Tuner() {
  const CurrentContext current(device_);
  const Driver& api = device_.api();
  if (before_) api.cuEventDestroy(before_);
  if (after_) api.cuEventDestroy(after_);
  if (stream_) api.cuStreamDestroy(stream_);
}

void Tuner::charge(std::chrono::steady_clock::duration time) {
  const std::lock_guard lock(mutex_);
  spent_ += time;
}

bool Tuner::exhausted() {
  const std::lock_guard lock(mutex_);
  return spent_ > limits_.total;
}

Status Tuner::start() {
  const Driver& api = device_.api();
  if (!stream_)
    HR_TRY(check(api.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), "make a stream to time on"));
  if (!before_) HR_TRY(check(api.cuEventCreate(&before_, CU_EVENT_DEFAULT), "make an event to time with"));
  if (!after_) HR_TRY(check(api.cuEventCreate(&after_, CU_EVENT_DEFAULT), "make an event to time with"));
  return {};
}

// The runs are launched as one graph, as they will be: put on the stream one by one, small kernels would wait
// for the host, and all take the same time.
Result<CUgraphExec> Tuner::capture(size_t candidate, std::byte* memory, const Run& run) {
  const Driver& api = device_.api();
  HR_TRY(run(candidate, memory, stream_));  // what a first run loads is not captured
  HR_TRY(check(api.cuStreamBeginCapture(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), "time a candidate"));
  Status noted;
  for (int i = 0; i < kTimedRuns && noted.ok(); ++i) noted = run(candidate, memory, stream_);
  CUgraph graph = nullptr;
  const CUresult ended = api.cuStreamEndCapture(stream_, &graph);
  CUgraphExec made = nullptr;
  if (noted.ok()) noted = check(ended, "time a candidate");
  if (noted.ok()) noted = check(api.cuGraphInstantiate(&made, graph, 0), "time a candidate");
  if (graph) (void)api.cuGraphDestroy(graph);
  HR_TRY(noted);
  return made;
}

Result<double> Tuner::time_ms(size_t candidate, std::byte* memory, const Run& run) {
  const Driver& api = device_.api();
  HR_ASSIGN(const CUgraphExec graph, capture(candidate, memory, run));
  float best = std::numeric_limits<float>::infinity();
  const auto round = [&]() -> Status {
    HR_TRY(check(api.cuEventRecord(before_, stream_), "time a candidate"));
    HR_TRY(check(api.cuGraphLaunch(graph, stream_), "time a candidate"));
    HR_TRY(check(api.cuEventRecord(after_, stream_), "time a candidate"));
    HR_TRY(check(api.cuEventSynchronize(after_), "time a candidate"));
    float ms = 0;
    HR_TRY(check(api.cuEventElapsedTime(&ms, before_, after_), "time a candidate"));
    best = std::min(best, ms);
    return {};
  };
  Status done = check(api.cuGraphLaunch(graph, stream_), "time a candidate");
  for (int i = 0; i < kTimedRounds && done.ok(); ++i) done = round();
  (void)api.cuGraphExecDestroy(graph);
  HR_TRY(done);
  return static_cast<double>(best) / kTimedRuns;
}

Result<size_t> Tuner::time_all(size_t count, Bytes memory, const Run& run) {
  HR_TRY(start());
  HR_ASSIGN(const Allocation block, device_.allocate(memory, "operands to time with"));
  // Small numbers in every float dtype: kernels run as hot as on real ones, and none meets a NaN.
  HR_TRY(check(device_.api().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(block.data()), 0x3c,
                                             static_cast<size_t>(memory.count), stream_),
               "fill operands to time with"));
  const auto end = std::chrono::steady_clock::now() + limits_.problem;
  size_t best = 0;
  double best_ms = std::numeric_limits<double>::infinity();
  for (size_t candidate = 0; candidate < count; ++candidate) {
    const Result<double> ms = time_ms(candidate, block.data(), run);
    if (ms.ok() && *ms < best_ms) {
      best_ms = *ms;
      best = candidate;
    }
    if (std::chrono::steady_clock::now() > end) break;
  }
  // The block is freed behind us.
  HR_TRY(check(device_.api().cuStreamSynchronize(stream_), "finish timing"));
  return best;
}

size_t Tuner::fastest(size_t count, Bytes memory, const Run& run) {
  const std::lock_guard lock(mutex_);
  if (count < 2 || memory > limits_.memory || spent_ > limits_.total) return 0;
  const auto begin = std::chrono::steady_clock::now();
  const Result<size_t> best = time_all(count, memory, run);
  spent_ += std::chrono::steady_clock::now() - begin;
  return best.ok() ? *best : 0;
}

}  // namespace headrace::cuda
