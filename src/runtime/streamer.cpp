#include "runtime/streamer.h"

#include <utility>

#include "core/error.h"
#include "runtime/weight_planner.h"

namespace headrace::runtime {

Streamer::Streamer(Device& device, const EngineFile& file, FileIdentity identity)
    : device_(device), file_(file), identity_(identity) {}

void Streamer::drop() {
  scratch_ = {};
  row_buffer_ = {};
  schedule_ = {};
  tickets_.clear();
}

Status Streamer::configure(StreamSchedule schedule, Bytes row_buffer) {
  drop();
  if (schedule.loads.empty() && row_buffer == Bytes{}) return {};
  if (!reader_) {
    auto reader = device_.open_reader(file_.fd(), file_.path().string());
    if (!reader.ok()) return reader.status();
    reader_ = *std::move(reader);
  }
  HR_ASSIGN(Allocation scratch, device_.allocate(schedule.scratch, "the scratch of streamed weights"));
  HR_ASSIGN(row_buffer_, device_.allocate(row_buffer, "rows of streamed weights"));
  scratch_ = std::move(scratch);
  tickets_.resize(schedule.loads.size());
  issued_ns_.resize(schedule.loads.size());
  schedule_ = std::move(schedule);
  return {};
}

Status Streamer::begin(Trace* trace) {
  trace_ = trace;
  statistics_ = {};
  next_ = 0;
  under_way_ = 0;
  if (!reader_ || (schedule_.loads.empty() && row_buffer_.size() == Bytes{})) return {};
  HR_TRY(identity_.check(file_));
  return issue(kNone);
}

Status Streamer::issue(StepIndex finished) {
  for (; next_ < schedule_.loads.size() && schedule_.loads[next_].issue_after <= finished; ++next_) {
    const StreamLoad& load = schedule_.loads[next_];
    const WeightGroup& group = file_.plan().groups[static_cast<size_t>(load.group)];
    const Bytes size = {(group.size.count + kReadAlignment.count - 1) / kReadAlignment.count *
                        kReadAlignment.count};
    issued_ns_[next_] = device_.now_ns();
    auto ticket = reader_->start(file_.weights_offset() + group.offset, size, data(load));
    if (!ticket.ok()) {
      return ticket.status().with_context(fmt::format("weight {}", group_name(file_.plan(), load.group)));
    }
    tickets_[next_] = *std::move(ticket);
    statistics_.streamed += group.size;
    if (under_way_++ == 0) busy_since_ns_ = issued_ns_[next_];
  }
  return {};
}

void Streamer::note_done(size_t index) {
  tickets_[index].reset();
  const int64_t now = device_.now_ns();
  if (--under_way_ == 0) statistics_.read_ns += now - busy_since_ns_;
  if (!trace_) return;
  const StreamLoad& load = schedule_.loads[index];
  trace_->add(TraceTrack::kRead, group_name(file_.plan(), load.group), issued_ns_[index], now,
              file_.plan().groups[static_cast<size_t>(load.group)].size.count);
}

Result<std::span<const StreamLoad>> Streamer::acquire(StepIndex step) {
  if (schedule_.loads.empty()) return std::span<const StreamLoad>();
  const auto begin = static_cast<size_t>(schedule_.step_loads[static_cast<size_t>(step)]);
  const auto end = static_cast<size_t>(schedule_.step_loads[static_cast<size_t>(step) + 1]);
  if (begin == end) return std::span<const StreamLoad>();
  const int64_t from = device_.now_ns();
  for (size_t i = begin; i < end; ++i) {
    Status status = tickets_[i]->wait();
    note_done(i);
    if (!status.ok()) {
      return status.with_context(
          fmt::format("weight {}", group_name(file_.plan(), schedule_.loads[i].group)));
    }
  }
  const int64_t now = device_.now_ns();
  statistics_.wait_ns += now - from;
  if (trace_) trace_->add(TraceTrack::kWait, "wait for weights", from, now);
  return std::span<const StreamLoad>(schedule_.loads).subspan(begin, end - begin);
}

Status Streamer::release(StepIndex step) { return schedule_.loads.empty() ? Status() : issue(step); }

void Streamer::end() {
  for (size_t i = 0; i < next_ && i < tickets_.size() && under_way_ > 0; ++i) {
    if (!tickets_[i]) continue;
    tickets_[i].reset();
    if (--under_way_ == 0) statistics_.read_ns += device_.now_ns() - busy_since_ns_;
  }
  trace_ = nullptr;
}

}  // namespace headrace::runtime
