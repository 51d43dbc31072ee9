#include "device/fake/fake_stream.h"

#include <algorithm>

#include "core/error.h"
#include "core/units.h"

namespace headrace::fake {
namespace {

// Whether every node comes before `last`: what a capture must have joined when it ends.
bool all_joined(const GraphBody& body, const std::vector<size_t>& last) {
  std::vector<bool> seen(body.nodes.size());
  std::vector<size_t> open = last;
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    if (seen[node]) continue;
    seen[node] = true;
    open.insert(open.end(), body.nodes[node].after.begin(), body.nodes[node].after.end());
  }
  return std::find(seen.begin(), seen.end(), false) == seen.end();
}

}  // namespace

Result<int64_t> FakeEvent::ns_since(const Event& earlier) const {
  const auto& from = static_cast<const FakeEvent&>(earlier);
  if (!reached_ns || !from.reached_ns || !point || !from.point || !device_.schedule_.reached(*point))
    return device_.mistake(internal_error("times of events that are not timed, or not over"));
  return *reached_ns - *from.reached_ns;
}

Status FakeEvent::synchronize() {
  HR_TRY(device_.call("wait for an event"));
  if (capture) return unavailable("the host waits for an event of a capture");
  if (!point) return device_.mistake(internal_error("the host waits for an event that was never recorded"));
  return device_.schedule_.reach(*point);
}

Status FakeGraph::set_copy(CopyIndex copy, std::byte* to, const std::byte* from) {
  HR_TRY(device_.call("change a copy"));
  if (copy < 0 || static_cast<size_t>(copy) >= body_->changing.size()) {
    return internal_error("copy {} of a captured run that has {}", copy, body_->changing.size());
  }
  if (body_.use_count() > 1) body_ = std::make_shared<GraphBody>(*body_);
  Work& work = body_->nodes[body_->changing[static_cast<size_t>(copy)]].work;
  work.to = to;
  work.from = from;
  return {};
}

FakeStream::~FakeStream() {
  if (origin_ && capture_) capture_->open = false;
  if (owned_ == Owned::yes) device_.schedule_.remove_line(line_);
}

Status FakeStream::add(Work work) {
  HR_TRY(device_.call(work.what));
  if (!capturing()) return device_.schedule_.add_work(line_, std::move(work));
  capture_->body.nodes.push_back({std::move(work), last_});
  last_ = {capture_->body.nodes.size() - 1};
  return {};
}

Status FakeStream::push(std::string_view what, std::function<Status()> work,
                        std::vector<std::span<const std::byte>> uses) {
  return add({std::string(what), std::move(work), nullptr, nullptr, {}, std::move(uses)});
}

Status FakeStream::synchronize() {
  HR_TRY(device_.call("wait for a queue"));
  if (capturing()) {
    capture_->broken = true;
    return unavailable("the host waits for a queue that captures");
  }
  return device_.schedule_.finish(line_);
}

Status FakeStream::record(Event& event) {
  HR_TRY(device_.call("record an event"));
  auto& into = static_cast<FakeEvent&>(event);
  if (capturing()) {
    into.point = nullptr;
    into.capture = capture_;
    into.nodes = last_;
    return {};
  }
  if (into.reached_ns) {
    HR_TRY(add({"note the time", [&device = device_, at = into.reached_ns]() -> Status {
                  *at = device.now_ns();
                  return {};
                }}));
  }
  auto point = std::make_shared<Point>();
  HR_TRY(device_.schedule_.add_record(line_, point));
  into.point = std::move(point);
  into.capture = nullptr;
  return {};
}

Status FakeStream::wait(const Event& event) {
  HR_TRY(device_.call("let a queue wait"));
  const auto& from = static_cast<const FakeEvent&>(event);
  if (from.capture) return wait_in_capture(from);
  if (!from.point)
    return device_.mistake(internal_error("a queue waits for an event that was never recorded"));
  if (capturing()) {
    capture_->broken = true;
    return unavailable("a queue that captures waits for an event from outside the capture");
  }
  return device_.schedule_.add_wait(line_, from.point);
}

Status FakeStream::wait_in_capture(const FakeEvent& event) {
  if (!event.capture->open) return unavailable("a queue waits for an event of a capture that is over");
  if (!capturing()) {
    capture_ = event.capture;
    origin_ = false;
    last_ = event.nodes;
    return {};
  }
  if (capture_ != event.capture) {
    capture_->broken = event.capture->broken = true;
    return unavailable("a queue that captures waits for an event of another capture");
  }
  for (const size_t node : event.nodes) {
    if (std::find(last_.begin(), last_.end(), node) == last_.end()) last_.push_back(node);
  }
  return {};
}

Status FakeStream::copy(std::byte* to, const std::byte* from, Bytes size) {
  if (size.count < 0) return internal_error("copy of {} bytes", size.count);
  if (size.count == 0) return {};
  return add({fmt::format("copy {}", to_text(size)), nullptr, to, from, size, {}});
}

Result<CopyIndex> FakeStream::copy_changing(std::byte* to, const std::byte* from, Bytes size) {
  HR_TRY(copy(to, from, size));
  if (size.count == 0 || !capturing()) return kNoCopy;
  capture_->body.changing.push_back(last_[0]);
  return static_cast<CopyIndex>(capture_->body.changing.size()) - 1;
}

Status FakeStream::begin_capture() {
  HR_TRY(device_.call("begin a capture"));
  if (capturing()) return internal_error("a capture is begun inside another one of the same queue");
  if (line_ == device_.default_line_) return unavailable("begin a capture: the default stream takes none");
  capture_ = std::make_shared<Capture>();
  origin_ = true;
  last_.clear();
  return {};
}

Result<std::unique_ptr<WorkGraph>> FakeStream::end_capture() {
  if (!capturing() || !origin_) return internal_error("a capture is ended that was not begun");
  const std::shared_ptr<Capture> capture = std::move(capture_);
  capture_ = nullptr;
  capture->open = false;
  HR_TRY(device_.call("end a capture"));
  if (capture->broken) return unavailable("a capture ends that is broken");
  if (!all_joined(capture->body, last_)) {
    return unavailable("a capture ends, and the queue that began it has not waited for all");
  }
  device_.captures_ += 1;
  return std::unique_ptr<WorkGraph>(
      std::make_unique<FakeGraph>(device_, std::make_shared<GraphBody>(std::move(capture->body))));
}

Status FakeStream::launch(WorkGraph& graph) {
  HR_TRY(device_.call("launch a captured run"));
  if (capturing()) return internal_error("a captured run is launched inside a capture");
  auto& launched = static_cast<FakeGraph&>(graph);
  if (launched.launched_ && launched.line_ != line_ && !device_.schedule_.reached(*launched.launched_)) {
    return device_.mistake(
        internal_error("a captured run is launched on a queue while it goes on in another"));
  }
  auto done = std::make_shared<Point>();
  HR_TRY(device_.schedule_.add_launch(line_, launched.body_, done));
  launched.launched_ = std::move(done);
  launched.line_ = line_;
  device_.launches_ += 1;
  return {};
}

}  // namespace headrace::fake
