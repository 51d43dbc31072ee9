// Residency: the weight groups of an engine that are in memory.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "device/device.h"
#include "engine/engine_file.h"
#include "runtime/file_identity.h"
#include "runtime/source_reader.h"

namespace headrace::runtime {

// Threads: none of its own; while change() runs nobody may read. Borrows the device and the file.
class Residency {
 public:
  Residency(Device& device, const EngineFile& file, FileIdentity identity, const WeightSource& source);

  // Makes exactly the groups of `wanted` resident. Groups that leave are freed before others are read, so
  // the larger of the two sets is never passed. Reads only what was not there.
  // `progress(done, total)` may be empty; false from it cancels.
  // On failure the groups that were resident before are so again, but for those that cannot be read back;
  // these stream until the next change. Errors: kExhausted, kUnavailable, kCorrupt; a weight is named.
  Status change(const std::vector<bool>& wanted, const std::function<bool(Bytes, Bytes)>& progress);

  // Frees all. REQUIRES: nothing reads.
  void drop();

  const std::byte* group(int32_t index) const { return memory_[static_cast<size_t>(index)].data(); }
  std::vector<bool> resident() const;

 private:
  Status load(std::span<const int32_t> groups, const std::function<bool(Bytes, Bytes)>& progress);
  Result<std::unique_ptr<ReadTicket>> start(int32_t group);

  Device& device_;
  const EngineFile& file_;
  FileIdentity identity_;
  const WeightSource& source_;  // on queued devices
  std::unique_ptr<FileReader> reader_;
  std::vector<Allocation> memory_;  // by group
  std::vector<bool> resident_;      // empty groups have no memory
};

}  // namespace headrace::runtime
