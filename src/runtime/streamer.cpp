#include "runtime/streamer.h"

#include <utility>

#include "core/error.h"
#include "runtime/weight_planner.h"

namespace headrace::runtime {

Streamer::Streamer(Device& device, const EngineFile& file, FileIdentity identity, PoolMemory& scratch,
                   Ahead ahead)
    : device_(device), file_(file), identity_(identity), scratch_(scratch), ahead_(ahead) {}

void Streamer::drop() {
  end(End::kDrop);
  (void)scratch_.resize({});
  base_ = nullptr;
  row_buffer_ = {};
  schedule_ = {};
  tickets_.clear();
  runs_ = 0;
}

Status Streamer::configure(StreamSchedule schedule, Bytes row_buffer) {
  drop();
  if (schedule.loads.empty() && row_buffer == Bytes{}) return {};
  if (!reader_) {
    auto reader = device_.open_reader(file_.fd(), file_.path().string());
    if (!reader.ok()) return reader.status();
    reader_ = *std::move(reader);
  }
  HR_TRY(scratch_.resize(schedule.scratch + row_buffer));
  base_ = scratch_.data();
  row_buffer_ = row_buffer;
  tickets_.resize(schedule.loads.size());
  issued_ns_.resize(schedule.loads.size());
  times_.reserve(schedule.loads.size() + 16);  // and a few reads of rows
  stretch_.set_enough(schedule.scratch * 4);   // all that is under way lies in the scratch
  schedule_ = std::move(schedule);
  return {};
}

Status Streamer::begin(Trace* trace) {
  trace_ = trace;
  statistics_ = {};
  if (!reader_ || (schedule_.loads.empty() && row_buffer_ == Bytes{})) return {};
  HR_TRY(identity_.check(file_));
  reader_->poll();  // what came between the runs is not waited for
  return issue(kNone);
}

Status Streamer::failed(size_t index, const Status& status) const {
  return status.with_context(
      fmt::format("weight {}", group_name(file_.plan(), schedule_.loads[index].group)));
}

Status Streamer::start(size_t index) {
  const StreamLoad& load = schedule_.loads[index];
  const WeightGroup& group = file_.plan().groups[static_cast<size_t>(load.group)];
  constexpr int64_t kBlock = kReadAlignment.count;
  const Bytes size = {(group.size.count + kBlock - 1) / kBlock * kBlock};
  issued_ns_[index] = device_.now_ns();
  auto ticket = reader_->start(file_.weights_offset() + group.offset, size, data(load));
  if (!ticket.ok()) return failed(index, ticket.status());
  tickets_[index] = *std::move(ticket);
  return {};
}

Status Streamer::issue(StepIndex finished) {
  const std::vector<StreamLoad>& loads = schedule_.loads;
  for (; next_ < loads.size() && loads[next_].issue_after <= finished; ++next_) HR_TRY(start(next_));
  if (next_ < loads.size() || runs_ == 0 || ahead_ == Ahead::kOfThisRun) return {};
  for (; next_ < 2 * loads.size(); ++next_) {
    const StreamLoad& load = loads[next_ - loads.size()];
    if (load.issue_after != kNone || load.again_after > finished) break;
    if (!start(next_ - loads.size()).ok()) break;  // no matter of this run: the next one tries again
  }
  return {};
}

void Streamer::note_done(size_t index, int64_t from_ns) {
  const int64_t noticed = tickets_[index]->finished_ns();
  const int64_t finished = noticed > 0 ? noticed : device_.now_ns();
  tickets_[index].reset();
  const StreamLoad& load = schedule_.loads[index];
  const Bytes size = file_.plan().groups[static_cast<size_t>(load.group)].size;
  statistics_.streamed += size;
  times_.add(issued_ns_[index], finished);
  stretch_.add(size, issued_ns_[index], finished, noticed > from_ns, link_rate_);
  if (!trace_) return;
  trace_->add(TraceTrack::kRead, group_name(file_.plan(), load.group), issued_ns_[index], finished,
              size.count);
}

Status Streamer::wait_for(size_t index, int64_t from_ns) {
  Status status = tickets_[index]->wait();
  // What went wrong between two runs need not be wrong any more.
  if (!status.ok() && index < carried_) {
    tickets_[index].reset();
    HR_TRY(start(index));
    status = tickets_[index]->wait();
  }
  if (!status.ok()) stretch_.stop();
  note_done(index, from_ns);
  return status.ok() ? status : failed(index, status);
}

Result<std::span<const StreamLoad>> Streamer::acquire(StepIndex step) {
  if (schedule_.loads.empty()) return std::span<const StreamLoad>();
  const auto begin = static_cast<size_t>(schedule_.step_loads[static_cast<size_t>(step)]);
  const auto end = static_cast<size_t>(schedule_.step_loads[static_cast<size_t>(step) + 1]);
  if (begin == end) return std::span<const StreamLoad>();
  const int64_t from = device_.now_ns();
  for (size_t i = begin; i < end; ++i) HR_TRY(wait_for(i, from));
  const int64_t now = device_.now_ns();
  statistics_.wait_ns += now - from;
  if (trace_) trace_->add(TraceTrack::kWait, "wait for weights", from, now);
  return std::span<const StreamLoad>(schedule_.loads).subspan(begin, end - begin);
}

Status Streamer::release(StepIndex step) {
  if (schedule_.loads.empty()) return {};
  reader_->poll();
  return issue(step);
}

void Streamer::end(End end) {
  const size_t loads = schedule_.loads.size();
  const bool keep = end == End::kKeep && next_ >= loads;
  if (!keep) {
    for (auto& ticket : tickets_) ticket.reset();
    stretch_.stop();
  }
  carried_ = keep ? next_ - loads : 0;
  next_ = carried_;
  runs_ += end == End::kKeep;
  statistics_.read_ns = times_.take_busy_ns();
  trace_ = nullptr;
}

}  // namespace headrace::runtime
