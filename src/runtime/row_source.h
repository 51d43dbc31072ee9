// Rows of weights that kernels fetch by index: from memory, or from the file around the page cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "core/trace.h"
#include "device/device.h"
#include "engine/plan.h"
#include "kernels/kernels.h"
#include "runtime/read_times.h"

namespace headrace::runtime {

Bytes row_bytes(const Weight& weight);  // REQUIRES: use is kRows, rank >= 1 and no empty dimension 0
// The buffer that rows of `weight` pass through: many rows where they are small, one at least.
Bytes row_buffer_size(const Weight& weight);

class MemoryRows : public RowSource {
 public:
  MemoryRows(const Weight& weight, const std::byte* data) : weight_(&weight), data_(data) {}
  Status gather(std::span<const int64_t> indices, std::byte* out) override;

 private:
  const Weight* weight_;
  const std::byte* data_;
};

// Threads: one gather at a time, over all sources that share a reader and a buffer.
class FileRows : public RowSource {
 public:
  struct Statistics {  // of one run
    Bytes read;
    int64_t wait_ns = 0;  // the kernel waits for its rows
  };
  // Borrows all; `offset` is that of row 0 in the file.
  FileRows(const Weight& weight, Bytes offset, FileReader& reader, std::span<std::byte> buffer)
      : weight_(&weight), offset_(offset), reader_(&reader), buffer_(buffer) {}
  // Reads each block once, however many rows lie in it or name it; neighbours in one read.
  Status gather(std::span<const int64_t> indices, std::byte* out) override;
  void begin(const Device& device, Trace* trace, ReadTimes& times) {  // of a run
    device_ = &device;
    trace_ = trace;
    times_ = &times;
    statistics_ = {};
  }
  const Statistics& statistics() const { return statistics_; }

 private:
  struct Range {  // of the file, in whole blocks, and where it is in the buffer
    int64_t begin, end;
    int64_t at;
  };
  Status read_ranges();
  Status gather_batch(std::span<const int64_t> indices, std::span<const size_t> batch, std::byte* out);

  const Weight* weight_;
  Bytes offset_;
  FileReader* reader_;
  std::span<std::byte> buffer_;
  const Device* device_ = nullptr;
  Trace* trace_ = nullptr;
  ReadTimes* times_ = nullptr;
  Statistics statistics_;
  std::vector<size_t> order_;  // kept, so that a steady run allocates little
  std::vector<Range> ranges_;
};

}  // namespace headrace::runtime
