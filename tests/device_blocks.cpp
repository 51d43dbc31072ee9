#include "device_blocks.h"

#include <algorithm>

#include "core/error.h"

namespace headrace::test {

namespace {
constexpr size_t kGuard = 256;  // keeps the alignment of device memory
constexpr std::byte kGuardByte{0xa5};
}  // namespace

Result<std::byte*> DeviceBlocks::add(std::span<const std::byte> bytes, std::string_view what) {
  Block block;
  block.size = bytes.size();
  HR_ASSIGN(block.memory, device_.allocate({static_cast<int64_t>(bytes.size() + 2 * kGuard)}, what));
  blocks_.push_back(std::move(block));
  HR_TRY(write(blocks_.size() - 1, bytes));
  return blocks_.back().memory.data() + kGuard;
}

Status DeviceBlocks::write(size_t block, std::span<const std::byte> bytes) {
  std::vector<std::byte> guarded(bytes.size() + 2 * kGuard, kGuardByte);
  std::copy(bytes.begin(), bytes.end(), guarded.begin() + kGuard);
  HR_TRY(queue_.copy(blocks_[block].memory.data(), guarded.data(), {static_cast<int64_t>(guarded.size())}));
  return queue_.synchronize();
}

Status DeviceBlocks::read(size_t block, std::span<std::byte> bytes) {
  std::vector<std::byte> guarded(blocks_[block].size + 2 * kGuard);
  HR_TRY(queue_.copy(guarded.data(), blocks_[block].memory.data(), {static_cast<int64_t>(guarded.size())}));
  HR_TRY(queue_.synchronize());
  const auto is_guard = [](std::byte byte) { return byte == kGuardByte; };
  const auto end = guarded.end() - kGuard;
  if (!std::all_of(guarded.begin(), guarded.begin() + kGuard, is_guard) ||
      !std::all_of(end, guarded.end(), is_guard))
    return internal_error("something was written beside a block of {} bytes", blocks_[block].size);
  std::copy(guarded.begin() + kGuard, end, bytes.begin());
  return {};
}

}  // namespace headrace::test
