// Streamer: brings the weights of a step into the scratch before it runs.
//
// A context that runs more than once is likely to run again: from the second run on, the places that a run
// has no more use for take the first weights of the next one, so the disk does not pause between the two.
// Not in scratch that others use between two runs.
//
// Threads: one Streamer per Context; calls must not overlap.
// Lifetime: borrows the device, the file and the memory of the scratch; all must outlive it.
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
#include "runtime/link_rate.h"
#include "runtime/pool.h"
#include "runtime/read_stretch.h"
#include "runtime/read_times.h"
#include "runtime/weight_plan.h"

namespace headrace::runtime {

class Streamer {
 public:
  struct Statistics {  // of one run
    Bytes streamed;
    int64_t read_ns = 0;  // with at least one of its reads under way, rows included
    int64_t wait_ns = 0;
  };
  enum class End { kKeep, kDrop };

  Streamer(Device& device, const EngineFile& file, FileIdentity identity, PoolMemory& scratch, Ahead ahead);

  // Takes a new schedule and memory for it, and `row_buffer` bytes for gathered rows; what there was is
  // freed first. Errors: kExhausted, kUnavailable; the streamer holds no memory then.
  Status configure(StreamSchedule schedule, Bytes row_buffer);
  void drop();  // frees scratch and row buffer; configure() comes before the next run
  bool has_moved() const { return base_ && base_ != scratch_.data(); }  // so too after that

  // Starts the first reads of a run, but for those that the last one has started. Errors: kCorrupt where the
  // file is not what it was.
  Status begin(Trace* trace);
  // Waits for the loads that begin at `step`; their bytes stay until release(last_step). Errors name the
  // weight.
  Result<std::span<const StreamLoad>> acquire(StepIndex step);
  // The step has run: what only it needed is free for the reads that waited for it.
  Status release(StepIndex step);
  // The end of a run. kKeep: the reads for the next one go on. kDrop, for a run that failed: waits for all
  // reads under way and forgets what they brought.
  void end(End end);

  bool idle() const { return schedule_.loads.empty(); }  // nothing streams as a whole
  std::byte* data(const StreamLoad& load) const { return base_ + load.offset.count; }
  FileReader* reader() { return reader_.get(); }
  ReadTimes& read_times() { return times_; }
  std::span<std::byte> row_buffer() {
    return {base_ + schedule_.scratch.count, static_cast<size_t>(row_buffer_.count)};
  }
  const Statistics& statistics() const { return statistics_; }
  const LinkRate& link_rate() const { return link_rate_; }  // while runs wait for reads

 private:
  Status issue(StepIndex finished);
  Status start(size_t load);
  Status wait_for(size_t load, int64_t from_ns);
  void note_done(size_t load, int64_t from_ns);
  Status failed(size_t load, const Status& status) const;  // names the weight

  Device& device_;
  const EngineFile& file_;
  FileIdentity identity_;
  StreamSchedule schedule_;
  std::unique_ptr<FileReader> reader_;
  PoolMemory::Share scratch_;  // the row buffer behind the scratch
  std::byte* base_ = nullptr;
  Bytes row_buffer_;
  const Ahead ahead_;
  std::vector<std::unique_ptr<ReadTicket>> tickets_;  // by load; empty where not under way
  std::vector<int64_t> issued_ns_;                    // by load
  size_t next_ = 0;     // the first load not issued yet; from loads.size() on, those of the next run
  size_t carried_ = 0;  // the first loads of this run, which the last one issued
  int64_t runs_ = 0;    // that ended well with this schedule
  ReadTimes times_;
  ReadStretch stretch_;
  LinkRate link_rate_;
  Statistics statistics_;
  Trace* trace_ = nullptr;
};

}  // namespace headrace::runtime
