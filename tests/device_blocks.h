// DeviceBlocks: blocks of a device's memory, each filled from the host and followed and led by guard bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <headrace/status.h>
#include "device/queued_device.h"

namespace headrace::test {

class DeviceBlocks {
 public:
  // Both outlive it.
  DeviceBlocks(QueuedDevice& device, WorkQueue& queue) : device_(device), queue_(queue) {}

  // The address of a new block that holds `bytes`.
  Result<std::byte*> add(std::span<const std::byte> bytes, std::string_view what);
  // Fills a block again.
  Status write(size_t block, std::span<const std::byte> bytes);
  // What a block holds now. Errors: kInternal where something was written beside it.
  Status read(size_t block, std::span<std::byte> bytes);

 private:
  struct Block {
    Allocation memory;
    size_t size = 0;
  };
  QueuedDevice& device_;
  WorkQueue& queue_;
  std::vector<Block> blocks_;
};

}  // namespace headrace::test
