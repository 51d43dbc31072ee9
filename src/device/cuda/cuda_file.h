// The engine file as the source of copies to a GPU: pages that the driver has pinned, or a ring that is read
// into.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "device/cuda/cuda_device.h"

namespace headrace::cuda {

// Pages of a file, mapped read-only and pinned where they lie in the page cache. Copies from them run at the
// link's rate. Destroying it unpins them: copies from it must be over.
class PinnedMap {
 public:
  // Of [begin, begin + size), widened to whole pages. Errors: kCorrupt (the file is shorter), kUnavailable
  // and kExhausted: the system does not map the file, or the driver does not pin it.
  static Result<std::unique_ptr<PinnedMap>> open(const CudaDevice& device, int fd, Bytes begin, Bytes size,
                                                 std::string_view name);
  PinnedMap(const CudaDevice& device, Bytes begin, Bytes size)  // for open()
      : device_(device), begin_(begin), size_(size) {}
  ~PinnedMap();
  PinnedMap(const PinnedMap&) = delete;
  PinnedMap& operator=(const PinnedMap&) = delete;

  Bytes begin() const { return begin_; }
  Bytes end() const { return begin_ + size_; }
  Bytes size() const { return size_; }
  // REQUIRES: [offset, offset + size) lies between begin() and end().
  Status copy(Bytes offset, Bytes size, std::byte* to, WorkQueue& queue) const;
  // Where the device reads the byte at `offset` and all after it; nullptr where it cannot.
  const std::byte* visible(Bytes offset) const;

 private:
  Status pin(std::string_view name);

  const CudaDevice& device_;
  const Bytes begin_, size_;
  std::byte* data_ = nullptr;  // the map
  const std::byte* on_device_ =
      nullptr;                 // the device's address of data_, where all pieces lie in a row there
  std::vector<Bytes> pinned_;  // starts of the pieces that the driver holds, from data_
};

// The bytes of `fd` now. Errors: kCorrupt: `end` lies a page or more past them.
Result<Bytes> checked_size(int fd, Bytes end, std::string_view name);

// Errors: kCorrupt (the file is shorter), kExhausted (`host_limit` leaves no room for a ring).
Result<std::unique_ptr<CopySource>> open_file_source(CudaDevice& device, int fd, Bytes begin, Bytes size,
                                                     Bytes host_limit, std::string_view name);
// The ring that open_file_source falls back to; `why` it did is told by mechanism().
Result<std::unique_ptr<CopySource>> open_ring_source(CudaDevice& device, int fd, Bytes begin, Bytes size,
                                                     Bytes host_limit, std::string_view name,
                                                     std::string_view why);
Result<std::unique_ptr<FileReader>> open_file_reader(CudaDevice& device, int fd, std::string_view name);

}  // namespace headrace::cuda
