#include "kernels/cuda/graph_timer.h"

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "core/error.h"

namespace headrace::cuda {
namespace {

constexpr int kTimedRuns = 16;     // in a row, after one that warms up
constexpr int kTimedRounds = 3;    // of such rows; the best counts
constexpr double kPlainly = 1.15;  // slower than the best so far: not timed again

}  // namespace

GraphTimer::~GraphTimer() {
  const CurrentContext current(device_);
  const Driver& api = device_.api();
  if (before_) api.cuEventDestroy(before_);
  if (after_) api.cuEventDestroy(after_);
  if (stream_) api.cuStreamDestroy(stream_);
}

Status GraphTimer::make_stream() {
  const Driver& api = device_.api();
  if (!stream_)
    HR_TRY(check(api.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), "make a stream to time on"));
  if (!before_) HR_TRY(check(api.cuEventCreate(&before_, CU_EVENT_DEFAULT), "make an event to time with"));
  if (!after_) HR_TRY(check(api.cuEventCreate(&after_, CU_EVENT_DEFAULT), "make an event to time with"));
  return {};
}

// Random numbers between about 2^-10 and 2 in every float dtype, of both signs: with equal ones the
// multiplying units draw less power than in a model, and the clock stays higher.
Status GraphTimer::fill() {
  const Driver& api = device_.api();
  const auto to = reinterpret_cast<CUdeviceptr>(memory_.data());
  const auto size = static_cast<size_t>(memory_.size().count);
  std::vector<std::byte> some(std::min(size, size_t{4} << 20));
  std::minstd_rand random(1);
  for (size_t i = 0; i < some.size(); ++i) {
    const auto bits = static_cast<unsigned>(random() >> 8);
    // The byte with the sign and the exponent is the second of 16 bits and the fourth of 32.
    some[i] = std::byte(i % 2 == 0 ? bits & 0xff : (0x3a + bits % 5) | (bits & 0x80));
  }
  HR_TRY(check(api.cuMemcpyAsync(to, reinterpret_cast<CUdeviceptr>(some.data()), some.size(), stream_),
               "fill operands to time with"));
  for (size_t done = some.size(); done < size; done *= 2)
    HR_TRY(check(api.cuMemcpyAsync(to + done, to, std::min(done, size - done), stream_),
                 "fill operands to time with"));
  return check(api.cuStreamSynchronize(stream_), "fill operands to time with");
}

Status GraphTimer::begin(Bytes memory) {
  HR_TRY(make_stream());
  HR_ASSIGN(memory_, device_.allocate(memory, "operands to time with"));
  const Status filled = fill();
  if (!filled.ok()) memory_ = {};
  return filled;
}

Status GraphTimer::end() {
  const Status done = check(device_.api().cuStreamSynchronize(stream_), "finish timing");
  memory_ = {};
  return done;
}

// The runs are launched as one graph, as they will be: put on the stream one by one, small kernels would wait
// for the host, and all take the same time.
Result<CUgraphExec> GraphTimer::capture(Candidates& candidates, size_t candidate) {
  const Driver& api = device_.api();
  const auto run = [&] { return candidates.run(candidate, memory_.data(), stream_); };
  HR_TRY(run());  // what a first run loads is not captured
  HR_TRY(check(api.cuStreamBeginCapture(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), "time a candidate"));
  Status noted;
  for (int i = 0; i < kTimedRuns && noted.ok(); ++i) noted = run();
  CUgraph graph = nullptr;
  const CUresult ended = api.cuStreamEndCapture(stream_, &graph);
  CUgraphExec made = nullptr;
  if (noted.ok()) noted = check(ended, "time a candidate");
  if (noted.ok()) noted = check(api.cuGraphInstantiate(&made, graph, 0), "time a candidate");
  if (graph) (void)api.cuGraphDestroy(graph);
  HR_TRY(noted);
  return made;
}

Result<double> GraphTimer::time_ms(Candidates& candidates, size_t candidate, double best_ms) {
  const Driver& api = device_.api();
  HR_ASSIGN(const CUgraphExec graph, capture(candidates, candidate));
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
  const double hopeless = best_ms * kPlainly * kTimedRuns;
  for (int i = 0; i < kTimedRounds && done.ok() && (i == 0 || best < hopeless); ++i) done = round();
  (void)api.cuGraphExecDestroy(graph);
  HR_TRY(done);
  return static_cast<double>(best) / kTimedRuns;
}

}  // namespace headrace::cuda
