#include "runtime/source_reader.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace headrace::runtime {
namespace {

class EventTicket : public ReadTicket {
 public:
  explicit EventTicket(std::unique_ptr<Event> event) : event_(std::move(event)) {}
  ~EventTicket() override {
    if (event_) (void)event_->synchronize();
  }
  Status wait() override { return std::exchange(event_, nullptr)->synchronize(); }

 private:
  std::unique_ptr<Event> event_;
};

class SourceReader : public FileReader {
 public:
  SourceReader(QueuedDevice& device, const WeightSource& source, std::unique_ptr<WorkQueue> queue)
      : device_(device), source_(source), queue_(std::move(queue)) {}

  Result<std::unique_ptr<ReadTicket>> start(Bytes offset, Bytes size, std::byte* out) override {
    HR_ASSIGN(auto event, device_.make_event());
    const Bytes from = offset - source_.begin;  // the last read may pass the end
    Status status = source_.source->copy(from, std::min(size, source_.size - from), out, *queue_);
    if (status.ok()) status = queue_->record(*event);
    if (!status.ok()) {
      (void)queue_->synchronize();  // a part may be under way, and `out` is free again when this returns
      return status;
    }
    return std::unique_ptr<ReadTicket>(std::make_unique<EventTicket>(std::move(event)));
  }
  bool direct() const override { return false; }
  std::string_view mechanism() const override { return source_.source->mechanism(); }

 private:
  QueuedDevice& device_;
  const WeightSource& source_;
  std::unique_ptr<WorkQueue> queue_;
};

}  // namespace

Result<std::unique_ptr<FileReader>> make_source_reader(QueuedDevice& device, const WeightSource& source) {
  HR_ASSIGN(auto queue, device.make_work_queue());
  return std::unique_ptr<FileReader>(std::make_unique<SourceReader>(device, source, std::move(queue)));
}

}  // namespace headrace::runtime
