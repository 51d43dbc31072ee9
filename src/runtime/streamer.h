// Streamer: brings the weights of a step into the scratch before it runs.
//
// Threads: one Streamer per Context; calls must not overlap.
// Lifetime: borrows the device and the file; both must outlive it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "core/trace.h"
#include "device/device.h"
#include "engine/engine_file.h"
#include "runtime/file_identity.h"
#include "runtime/weight_plan.h"

namespace headrace::runtime {

class Streamer {
 public:
  struct Statistics {  // of one run
    Bytes streamed;
    int64_t read_ns = 0;  // with at least one read under way
    int64_t wait_ns = 0;
  };

  Streamer(Device& device, const EngineFile& file, FileIdentity identity);

  // Takes a new schedule and memory for it, and `row_buffer` bytes for gathered rows; what there was is
  // freed first. Errors: kExhausted, kUnavailable; the streamer holds no memory then.
  Status configure(StreamSchedule schedule, Bytes row_buffer);
  void drop();  // frees scratch and row buffer; configure() comes before the next run

  // Starts the first reads of a run. Errors: kCorrupt where the file is not what it was.
  Status begin(Trace* trace);
  // Waits for the loads that begin at `step`; their bytes stay until release(last_step). Errors name the
  // weight.
  Result<std::span<const StreamLoad>> acquire(StepIndex step);
  // The step has run: what only it needed is free for the reads that waited for it.
  Status release(StepIndex step);
  // Waits for all reads under way; after an error, and at the end of a run.
  void end();

  bool idle() const { return schedule_.loads.empty(); }  // nothing streams as a whole
  std::byte* data(const StreamLoad& load) const { return scratch_.data() + load.offset.count; }
  Bytes memory() const { return scratch_.size() + row_buffer_.size(); }
  FileReader* reader() { return reader_.get(); }
  std::span<std::byte> row_buffer() {
    return {row_buffer_.data(), static_cast<size_t>(row_buffer_.size().count)};
  }
  const Statistics& statistics() const { return statistics_; }

 private:
  Status issue(StepIndex finished);
  void note_done(size_t load);

  Device& device_;
  const EngineFile& file_;
  FileIdentity identity_;
  StreamSchedule schedule_;
  std::unique_ptr<FileReader> reader_;
  Allocation scratch_, row_buffer_;
  std::vector<std::unique_ptr<ReadTicket>> tickets_;  // by load; empty where not under way
  std::vector<int64_t> issued_ns_;                    // by load
  size_t next_ = 0;                                   // the first load not issued yet
  int under_way_ = 0;
  int64_t busy_since_ns_ = 0;
  Statistics statistics_;
  Trace* trace_ = nullptr;
};

}  // namespace headrace::runtime
