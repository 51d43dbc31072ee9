#include "device/fake/fake_schedule.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace headrace::fake {
namespace {

bool overlap(const std::byte* a, int64_t a_size, const std::byte* b, int64_t b_size) {
  return a && b && a < b + b_size && b < a + a_size;
}

bool touches(const Work& work, const std::byte* data, Bytes size) {
  return overlap(work.to, work.size.count, data, size.count) ||
         overlap(work.from, work.size.count, data, size.count) ||
         std::any_of(work.uses.begin(), work.uses.end(), [&](std::span<const std::byte> use) {
           return overlap(use.data(), static_cast<int64_t>(use.size()), data, size.count);
         });
}

bool is_ready(const GraphBody& graph, const std::vector<bool>& done, size_t node) {
  const std::vector<size_t>& after = graph.nodes[node].after;
  return !done[node] && std::all_of(after.begin(), after.end(), [&](size_t before) { return done[before]; });
}

}  // namespace

FakeSchedule::FakeSchedule(uint64_t seed, int eager, Checker check)
    : random_(seed), eager_(eager), check_(std::move(check)) {}

FakeSchedule::Line FakeSchedule::add_line() {
  const std::lock_guard lock(mutex_);
  // Some lines are much slower than others.
  lines_[next_line_].weight = 1 + (random_() % 3 == 0 ? random_() % 20 : random_() % 3);
  return next_line_++;
}

void FakeSchedule::remove_line(Line line) {
  const std::lock_guard lock(mutex_);
  (void)run_until([&] { return lines_[line].entries.empty(); });
  lines_.erase(line);
}

Status FakeSchedule::add_work(Line line, Work work) {
  Entry entry;
  entry.work = std::move(work);
  return add(line, std::move(entry));
}

Status FakeSchedule::add_record(Line line, std::shared_ptr<Point> point) {
  Entry entry;
  entry.reaches = std::move(point);
  return add(line, std::move(entry));
}

Status FakeSchedule::add_wait(Line line, std::shared_ptr<const Point> point) {
  Entry entry;
  entry.waits = std::move(point);
  return add(line, std::move(entry));
}

Status FakeSchedule::add_launch(Line line, std::shared_ptr<const GraphBody> graph,
                                std::shared_ptr<Point> done) {
  Entry entry;
  entry.done.resize(graph->nodes.size());
  entry.left = graph->nodes.size();
  entry.graph = std::move(graph);
  entry.reaches = std::move(done);
  return add(line, std::move(entry));
}

Status FakeSchedule::add(Line line, Entry entry) {
  const std::lock_guard lock(mutex_);
  HR_TRY(failure_);
  lines_[line].entries.push_back(std::move(entry));
  if (static_cast<int>(random_() % 100) >= eager_) return {};
  // What fails now is told by the calls to come.
  uint64_t left = random_() % 8;
  while (left > 0 && failure_.ok() && step()) --left;
  return {};
}

Status FakeSchedule::finish(Line line) {
  const std::lock_guard lock(mutex_);
  return run_until([&] { return lines_[line].entries.empty(); });
}

Status FakeSchedule::reach(const Point& point) {
  const std::lock_guard lock(mutex_);
  return run_until([&] { return point.reached; });
}

bool FakeSchedule::reached(const Point& point) const {
  const std::lock_guard lock(mutex_);
  return point.reached;
}

Status FakeSchedule::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void FakeSchedule::heal() {
  const std::lock_guard lock(mutex_);
  failure_ = {};
}

bool FakeSchedule::pending(const std::byte* data, Bytes size) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, line] : lines_) {
    for (const Entry& entry : line.entries) {
      if (touches(entry.work, data, size)) return true;
      if (!entry.graph) continue;
      for (size_t i = 0; i < entry.done.size(); ++i) {
        if (!entry.done[i] && touches(entry.graph->nodes[i].work, data, size)) return true;
      }
    }
  }
  return false;
}

template <class Until>
Status FakeSchedule::run_until(const Until& until) {
  while (failure_.ok() && !until()) {
    if (!step()) return internal_error("the fake device waits for work that nobody has given it");
  }
  return failure_;
}

bool FakeSchedule::step() {
  std::vector<LineState*> ready;
  uint64_t weight = 0;
  for (auto& [number, line] : lines_) {
    if (line.entries.empty() || !can_go_on(line.entries.front())) continue;
    ready.push_back(&line);
    weight += line.weight;
  }
  if (ready.empty()) return false;
  uint64_t pick = random_() % weight;
  size_t index = 0;
  while (pick >= ready[index]->weight) pick -= ready[index++]->weight;
  go_on(*ready[index]);
  return true;
}

bool FakeSchedule::can_go_on(const Entry& entry) const { return !entry.waits || entry.waits->reached; }

void FakeSchedule::go_on(LineState& line) {
  Entry& entry = line.entries.front();
  if (entry.graph && entry.left > 0) {
    std::vector<size_t> ready;
    for (size_t i = 0; i < entry.done.size(); ++i) {
      if (is_ready(*entry.graph, entry.done, i)) ready.push_back(i);
    }
    const size_t node = ready[random_() % ready.size()];
    const std::shared_ptr<const GraphBody> graph = entry.graph;
    entry.done[node] = true;
    --entry.left;
    run(graph->nodes[node].work);
    if (!failure_.ok() || entry.left > 0) return;
  } else if (!entry.graph) {
    const Work work = std::move(entry.work);
    run(work);
    if (!failure_.ok()) return;
  }
  if (entry.reaches) entry.reaches->reached = true;
  line.entries.pop_front();
}

void FakeSchedule::run(const Work& work) {
  if (!work.run && work.size.count == 0) return;
  if (Status status = check_(work); !status.ok()) return drop(std::move(status));
  if (work.run) {
    if (Status status = work.run(); !status.ok()) return drop(std::move(status));
  }
  if (work.to) std::memmove(work.to, work.from, static_cast<size_t>(work.size.count));
}

void FakeSchedule::fail(Status why) {
  const std::lock_guard lock(mutex_);
  drop(std::move(why));
}

void FakeSchedule::drop(Status why) {
  failure_ = std::move(why);
  for (auto& [number, line] : lines_) {
    for (Entry& entry : line.entries) {
      if (entry.reaches) entry.reaches->reached = true;
    }
    line.entries.clear();
  }
}

}  // namespace headrace::fake
