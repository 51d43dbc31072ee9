// A FileReader over a CopySource: how resident weights get into the memory of a queued device.
#pragma once

#include <memory>

#include "device/queued_device.h"

namespace headrace::runtime {

// An open source and the window of the file that it shows.
struct WeightSource {
  std::unique_ptr<CopySource> source;
  Bytes begin, size;
};

// Reads at offsets of the file. Borrows both; both must outlive it.
Result<std::unique_ptr<FileReader>> make_source_reader(QueuedDevice& device, const WeightSource& source);

}  // namespace headrace::runtime
