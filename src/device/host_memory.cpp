#include "device/host_memory.h"

#include <sys/mman.h>

#include <cerrno>

#include "core/error.h"
#include "core/units.h"

namespace headrace {
namespace {

constexpr Bytes kHugePage = mib(2);

Status no_room(Bytes size, Bytes used, Bytes limit, std::string_view what) {
  return exhausted("cannot allocate {} for {}: {} in use, {} at most", to_text(size), what, to_text(used),
                   to_text(limit));
}

void* map(size_t size) {
  return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

// Begins with a huge page where it holds one: reads into small pages reach half the disk's rate (measured),
// and products over large weights lose a few per cent to page walks.
void* map_aligned(size_t size) {
  constexpr auto kHuge = static_cast<size_t>(kHugePage.count);
  if (size < kHuge) return map(size);
  void* wide = map(size + kHuge);
  if (wide == MAP_FAILED) return map(size);  // a limit on the address space or on data may be near
  auto* begin = static_cast<std::byte*>(wide);
  const size_t before = (kHuge - reinterpret_cast<uintptr_t>(begin) % kHuge) % kHuge;
  if (before > 0) munmap(begin, before);
  if (before < kHuge) munmap(begin + before + size, kHuge - before);
  (void)madvise(begin + before, size, MADV_HUGEPAGE);  // a hint only
  return begin + before;
}

}  // namespace

Result<std::byte*> HostMemory::allocate(Bytes size, Bytes limit, std::string_view what) {
  const int64_t before = used_.fetch_add(size.count, std::memory_order_relaxed);
  if (size > limit || Bytes{before} > limit - size) {
    used_.fetch_sub(size.count, std::memory_order_relaxed);
    return no_room(size, {before}, limit, what);
  }
  void* data = map_aligned(static_cast<size_t>(size.count));
  if (data == MAP_FAILED) {
    used_.fetch_sub(size.count, std::memory_order_relaxed);
    return errno == ENOMEM ? no_room(size, {before}, limit, what)
                           : errno_status(errno, fmt::format("allocate {} for {}", to_text(size), what));
  }
  const int64_t now = before + size.count;
  int64_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < now && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
  return static_cast<std::byte*>(data);
}

void HostMemory::free(std::byte* data, Bytes size) {
  munmap(data, static_cast<size_t>(size.count));
  used_.fetch_sub(size.count, std::memory_order_relaxed);
}

}  // namespace headrace
