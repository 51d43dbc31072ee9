// What a FakeQueuedDevice makes its queues, events and graphs of.
#pragma once

#include <memory>
#include <vector>

#include "device/fake/fake_queued_device.h"

namespace headrace::fake {

// Work that is noted and not done, by the queues that take part.
struct Capture {
  GraphBody body;
  bool open = true;
  bool broken = false;  // something was asked that no capture takes
};

class FakeEvent final : public Event {
 public:
  FakeEvent(FakeQueuedDevice& device, bool timed) : device_(device) {
    if (timed) reached_ns = std::make_shared<int64_t>(0);
  }
  Status synchronize() override;
  Result<int64_t> ns_since(const Event& earlier) const override;

  // Where it was recorded last: in a queue, or in a capture after these nodes.
  std::shared_ptr<Point> point;
  std::shared_ptr<Capture> capture;
  std::vector<size_t> nodes;
  std::shared_ptr<int64_t> reached_ns;  // of a timed one

 private:
  FakeQueuedDevice& device_;
};

class FakeGraph final : public WorkGraph {
 public:
  FakeGraph(FakeQueuedDevice& device, std::shared_ptr<GraphBody> body)
      : device_(device), body_(std::move(body)) {}
  Status set_copy(CopyIndex copy, std::byte* to, const std::byte* from) override;

 private:
  friend class FakeStream;
  FakeQueuedDevice& device_;
  std::shared_ptr<GraphBody> body_;  // launches hold it as it was for them
  std::shared_ptr<Point> launched_;  // the end of the last launch
  FakeSchedule::Line line_ = -1;     // where that was
};

class FakeStream final : public FakeWorkQueue {
 public:
  enum class Owned { yes, no };
  FakeStream(FakeQueuedDevice& device, FakeSchedule::Line line, Owned owned)
      : device_(device), line_(line), owned_(owned) {}
  ~FakeStream() override;

  FakeSchedule::Line line() const { return line_; }
  bool capturing() const { return capture_ && capture_->open; }
  Status add(Work work);  // to the line, or to the capture

  Status push(std::string_view what, std::function<Status()> work,
              std::vector<std::span<const std::byte>> uses) override;
  Status synchronize() override;
  Status record(Event& event) override;
  Status wait(const Event& event) override;
  Status copy(std::byte* to, const std::byte* from, Bytes size) override;
  Result<CopyIndex> copy_changing(std::byte* to, const std::byte* from, Bytes size) override;
  Status begin_capture() override;
  Result<std::unique_ptr<WorkGraph>> end_capture() override;
  Status launch(WorkGraph& graph) override;

 private:
  Status wait_in_capture(const FakeEvent& event);

  FakeQueuedDevice& device_;
  const FakeSchedule::Line line_;
  const Owned owned_;
  std::shared_ptr<Capture> capture_;
  bool origin_ = false;       // the capture began here
  std::vector<size_t> last_;  // nodes that the next one comes after
};

// As CopySource and FileReader say; `pinned`: capturable, else through a ring of `ring` bytes.
Result<std::unique_ptr<CopySource>> open_fake_source(FakeQueuedDevice& device, int fd, Bytes begin,
                                                     Bytes size, bool pinned, Bytes ring,
                                                     std::string_view name);
std::unique_ptr<FileReader> open_fake_reader(FakeQueuedDevice& device, int fd, std::string_view name);

}  // namespace headrace::fake
