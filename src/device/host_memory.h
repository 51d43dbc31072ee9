// HostMemory: whole pages of anonymous memory, counted.
//
// Each run of pages is a mapping of its own, so freeing it gives the memory back to the kernel at once: a
// budget that is lowered is a process that shrinks. Threads: all methods may be called by several.
#pragma once

#include <atomic>
#include <cstddef>
#include <string_view>

#include <headrace/bytes.h>
#include <headrace/status.h>

namespace headrace {

class HostMemory {
 public:
  // `size` must be a multiple of the page; nothing is held on failure.
  // Errors: kExhausted with asked, used and `limit`.
  Result<std::byte*> allocate(Bytes size, Bytes limit, std::string_view what);
  void free(std::byte* data, Bytes size);
  Bytes used() const { return {used_.load(std::memory_order_relaxed)}; }
  Bytes peak() const { return {peak_.load(std::memory_order_relaxed)}; }

 private:
  std::atomic<int64_t> used_ = 0;
  std::atomic<int64_t> peak_ = 0;
};

}  // namespace headrace
