#include "runtime/residency.h"

#include <deque>

#include "core/error.h"
#include "runtime/weight_planner.h"

namespace headrace::runtime {
namespace {

constexpr Bytes kInFlight = mib(32);

}  // namespace

Residency::Residency(Device& device, const EngineFile& file, FileIdentity identity,
                     const WeightSource& source)
    : device_(device),
      file_(file),
      identity_(identity),
      source_(source),
      memory_(file.plan().groups.size()),
      resident_(file.plan().groups.size()) {}

void Residency::drop() {
  reader_.reset();
  for (Allocation& memory : memory_) memory = {};
  resident_.assign(resident_.size(), false);
}

std::vector<bool> Residency::resident() const { return resident_; }

Status Residency::change(const std::vector<bool>& wanted, const std::function<bool(Bytes, Bytes)>& progress) {
  std::vector<int32_t> leaving, coming;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (resident_[i] && !wanted[i]) leaving.push_back(static_cast<int32_t>(i));
    if (!resident_[i] && wanted[i]) coming.push_back(static_cast<int32_t>(i));
  }
  const auto evict = [this](std::span<const int32_t> groups) {
    for (const int32_t group : groups) {
      memory_[static_cast<size_t>(group)] = {};
      resident_[static_cast<size_t>(group)] = false;
    }
  };
  if (!coming.empty()) HR_TRY(identity_.check(file_));
  evict(leaving);
  Status status = load(coming, progress);
  if (!status.ok()) {
    evict(coming);
    (void)load(leaving, {});  // as far as it goes; the first error is the one to tell
  }
  return status;
}

Result<std::unique_ptr<ReadTicket>> Residency::start(int32_t group) {
  const auto index = static_cast<size_t>(group);
  const WeightGroup& place = file_.plan().groups[index];
  auto memory = device_.allocate(place.size, "resident weights");
  if (!memory.ok()) return memory.status();
  memory_[index] = *std::move(memory);
  if (place.size.count == 0) return std::unique_ptr<ReadTicket>();
  return reader_->start(file_.weights_offset() + place.offset, memory_[index].size(), memory_[index].data());
}

Status Residency::load(std::span<const int32_t> groups, const std::function<bool(Bytes, Bytes)>& progress) {
  if (groups.empty()) return {};
  if (!reader_) {
    auto reader = device_.queued() ? make_source_reader(*device_.queued(), source_)
                                   : device_.open_reader(file_.fd(), file_.path().string());
    if (!reader.ok()) return reader.status();
    reader_ = *std::move(reader);
  }
  Bytes total, done, in_flight;
  for (const int32_t group : groups) total += file_.plan().groups[static_cast<size_t>(group)].size;
  std::deque<std::unique_ptr<ReadTicket>> tickets;  // of groups [waited, started)
  size_t waited = 0;
  for (size_t started = 0; waited < groups.size();) {
    if (started < groups.size() && (in_flight < kInFlight || tickets.empty())) {
      auto ticket = start(groups[started]);
      if (!ticket.ok()) {
        return ticket.status().with_context(
            fmt::format("weight {}", group_name(file_.plan(), groups[started])));
      }
      in_flight += file_.plan().groups[static_cast<size_t>(groups[started])].size;
      tickets.push_back(*std::move(ticket));
      ++started;
      continue;
    }
    const int32_t group = groups[waited];
    const Bytes size = file_.plan().groups[static_cast<size_t>(group)].size;
    if (tickets.front()) {
      if (Status status = tickets.front()->wait(); !status.ok()) {
        tickets.clear();  // waits for those under way
        return status.with_context(fmt::format("weight {}", group_name(file_.plan(), group)));
      }
    }
    tickets.pop_front();
    resident_[static_cast<size_t>(group)] = true;
    in_flight -= size;
    done += size;
    ++waited;
    if (progress && !progress(done, total)) return unavailable("cancelled");
  }
  return {};
}

}  // namespace headrace::runtime
