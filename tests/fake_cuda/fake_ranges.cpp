// Reserved addresses and the memory that is mapped there, of the fake driver.
#include <sys/mman.h>

#include "fake_driver.h"

using namespace headrace::fake_cuda;

namespace {

constexpr size_t kGranularity = size_t{2} << 20;

std::byte* pointer(CUdeviceptr at) { return reinterpret_cast<std::byte*>(at); }
bool is_whole(size_t size) { return size > 0 && size % kGranularity == 0; }

// The reservation that holds all of [at, at + size); nullptr where none does.
std::byte* reservation_of(const std::byte* at, size_t size) {
  for (const auto& [begin, reserved] : state().reserved) {
    if (at >= begin && at + size <= begin + reserved) return begin;
  }
  return nullptr;
}

bool is_mapped(const std::byte* at, size_t size) {
  for (const auto& [begin, piece] : state().mapped) {
    if (begin < at + size && at < begin + piece.size) return true;
  }
  return false;
}

// The pieces that [at, at + size) is made of, whole ones alone; empty where it is not.
std::vector<std::byte*> pieces_of(std::byte* at, size_t size) {
  std::vector<std::byte*> pieces;
  for (std::byte* next = at; next != at + size;) {
    const auto piece = state().mapped.find(next);
    if (piece == state().mapped.end() || piece->second.size > static_cast<size_t>(at + size - next))
      return {};
    pieces.push_back(next);
    next += piece->second.size;
  }
  return pieces;
}

void drop_reference(CUmemGenericAllocationHandle handle) {
  const auto memory = state().created.find(handle);
  if (--memory->second.references > 0) return;
  state().used -= memory->second.size;
  state().created.erase(memory);
}

}  // namespace

#define BEGIN(function)                                      \
  if (const CUresult error = asked(#function)) return error; \
  [[maybe_unused]] const std::lock_guard lock(state().mutex)

extern "C" {

CUresult cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* memory,
                                       CUmemAllocationGranularity_flags) {
  BEGIN(cuMemGetAllocationGranularity);
  if (memory->location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
  *granularity = kGranularity;
  return CUDA_SUCCESS;
}
CUresult cuMemAddressReserve(CUdeviceptr* made, size_t size, size_t, CUdeviceptr, unsigned long long) {
  BEGIN(cuMemAddressReserve);
  if (!is_whole(size)) return CUDA_ERROR_INVALID_VALUE;
  const auto most = static_cast<size_t>(setting("reservable_mib", 1 << 20)) << 20;
  size_t all = size;
  for (const auto& [begin, reserved] : state().reserved) all += reserved;
  if (all > most) return CUDA_ERROR_OUT_OF_MEMORY;
  void* wide =
      mmap(nullptr, size + kGranularity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (wide == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  auto* begin = static_cast<std::byte*>(wide);
  const size_t before = (kGranularity - reinterpret_cast<uintptr_t>(begin) % kGranularity) % kGranularity;
  if (before > 0) munmap(begin, before);
  begin += before;
  munmap(begin + size, kGranularity - before);
  state().reserved[begin] = size;
  *made = reinterpret_cast<CUdeviceptr>(begin);
  return CUDA_SUCCESS;
}
CUresult cuMemAddressFree(CUdeviceptr at, size_t size) {
  BEGIN(cuMemAddressFree);
  const auto range = state().reserved.find(pointer(at));
  if (range == state().reserved.end() || range->second != size || is_mapped(pointer(at), size)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  munmap(range->first, size);
  state().reserved.erase(range);
  return CUDA_SUCCESS;
}
CUresult cuMemCreate(CUmemGenericAllocationHandle* made, size_t size, const CUmemAllocationProp* memory,
                     unsigned long long) {
  BEGIN(cuMemCreate);
  if (!is_whole(size) || memory->type != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  if (size > kTotalMemory - state().used) return CUDA_ERROR_OUT_OF_MEMORY;
  state().used += size;
  *made = ++state().handles;
  state().created[*made] = {size, 1};
  return CUDA_SUCCESS;
}
CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  BEGIN(cuMemRelease);
  if (!state().created.contains(handle)) return CUDA_ERROR_INVALID_VALUE;
  drop_reference(handle);
  return CUDA_SUCCESS;
}
CUresult cuMemMap(CUdeviceptr to, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long) {
  BEGIN(cuMemMap);
  const auto memory = state().created.find(handle);
  if (memory == state().created.end() || memory->second.size != size || offset != 0 ||
      !reservation_of(pointer(to), size) || is_mapped(pointer(to), size)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  ++memory->second.references;
  state().mapped[pointer(to)] = {size, handle};
  return CUDA_SUCCESS;
}
CUresult cuMemSetAccess(CUdeviceptr at, size_t size, const CUmemAccessDesc* access, size_t count) {
  BEGIN(cuMemSetAccess);
  if (count != 1 || access->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE ||
      pieces_of(pointer(at), size).empty()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  mprotect(pointer(at), size, PROT_READ | PROT_WRITE);
  // One run of memory for copies, whatever the pieces.
  for (auto& [begin, run] : state().device) {
    if (begin + run == pointer(at) && reservation_of(begin, run + size)) return run += size, CUDA_SUCCESS;
  }
  state().device[pointer(at)] = size;
  return CUDA_SUCCESS;
}
CUresult cuMemUnmap(CUdeviceptr at, size_t size) {
  BEGIN(cuMemUnmap);
  const std::vector<std::byte*> pieces = pieces_of(pointer(at), size);
  if (pieces.empty()) return CUDA_ERROR_INVALID_VALUE;
  for (std::byte* piece : pieces) {
    drop_reference(state().mapped[piece].memory);
    state().mapped.erase(piece);
  }
  mmap(pointer(at), size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  for (auto& [begin, run] : state().device) {
    if (begin <= pointer(at) && pointer(at) < begin + run) run = static_cast<size_t>(pointer(at) - begin);
  }
  state().device.erase(pointer(at));
  return CUDA_SUCCESS;
}

}  // extern "C"
