#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "core/error.h"
#include "core/units.h"
#include "device/cuda/cuda_file.h"

namespace headrace::cuda {
namespace {

constexpr Bytes kPiece = gib(1);  // pinned by one call
constexpr int64_t kPage = kReadAlignment.count;

constexpr Bytes round_up(Bytes size) { return {(size.count + kPage - 1) / kPage * kPage}; }

}  // namespace

Result<Bytes> checked_size(int fd, Bytes end, std::string_view name) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return errno_status(errno, fmt::format("look at '{}'", name));
  if (end > round_up({info.st_size})) {
    return corrupt("read '{}': the file is shorter than when it was opened: it ends at {} of {} bytes", name,
                   info.st_size, end.count);
  }
  return Bytes{info.st_size};
}

Result<std::unique_ptr<PinnedMap>> PinnedMap::open(const CudaDevice& device, int fd, Bytes begin, Bytes size,
                                                   std::string_view name) {
  const Bytes first = {begin.count / kPage * kPage};
  const Bytes whole = round_up(begin + size - first);
  // Before the map: pages past the file's end raise signals.
  HR_TRY(checked_size(fd, first + whole, name).status());
  auto map = std::make_unique<PinnedMap>(device, first, whole);
  if (whole.count == 0) return map;
  // Shared: registering a private mapping with CUDA never returned on an H200.
  void* data = mmap(nullptr, static_cast<size_t>(whole.count), PROT_READ, MAP_SHARED, fd,
                    static_cast<off_t>(first.count));
  if (data == MAP_FAILED) return errno_status(errno, fmt::format("map {} of '{}'", to_text(whole), name));
  map->data_ = static_cast<std::byte*>(data);
  HR_TRY(map->pin(name));
  return map;
}

Status PinnedMap::pin(std::string_view name) {
  const CurrentContext current(device_);
  const Driver& api = device_.api();
  bool in_a_row = true;
  for (Bytes at; at < size_; at += kPiece) {
    const Bytes size = std::min(kPiece, size_ - at);
    const CUresult result =
        api.cuMemHostRegister(data_ + at.count, static_cast<size_t>(size.count),
                              CU_MEMHOSTREGISTER_READ_ONLY | CU_MEMHOSTREGISTER_DEVICEMAP);
    HR_TRY(check(result, fmt::format("pin {} of '{}' at {}", to_text(size), name, (begin_ + at).count)));
    pinned_.push_back(at);
    CUdeviceptr there = 0;
    const bool seen = api.cuMemHostGetDevicePointer(&there, data_ + at.count, 0) == CUDA_SUCCESS;
    const auto* const start = reinterpret_cast<const std::byte*>(there);
    if (at.count == 0) on_device_ = start;
    in_a_row = in_a_row && seen && start == on_device_ + at.count;
  }
  if (!in_a_row) on_device_ = nullptr;
  return {};
}

PinnedMap::~PinnedMap() {
  const CurrentContext current(device_);
  for (const Bytes at : pinned_) (void)device_.api().cuMemHostUnregister(data_ + at.count);
  if (data_) munmap(data_, static_cast<size_t>(size_.count));
}

Status PinnedMap::copy(Bytes offset, Bytes size, std::byte* to, WorkQueue& queue) const {
  if (size.count < 0 || offset < begin() || offset > end() || size > end() - offset) {
    return internal_error("copy of [{}, {}) from a map of [{}, {})", offset.count, offset.count + size.count,
                          begin().count, end().count);
  }
  // The driver takes no copy that spans two pinned pieces.
  for (Bytes at = offset - begin_, end = at + size; at < end;) {
    const Bytes piece_end = {(at.count / kPiece.count + 1) * kPiece.count};
    const Bytes count = std::min(end, piece_end) - at;
    HR_TRY(queue.copy(to, data_ + at.count, count));
    to += count.count;
    at += count;
  }
  return {};
}

const std::byte* PinnedMap::visible(Bytes offset) const {
  if (!on_device_ || offset < begin() || offset >= end()) return nullptr;
  return on_device_ + (offset - begin_).count;
}

}  // namespace headrace::cuda
