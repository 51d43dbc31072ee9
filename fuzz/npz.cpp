// A file given as an .npz of inputs; and the same bytes as one .npy, which a zip would hide from most
// mutations.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include <fmt/core.h>

#include "cli/npy.h"
#include "cli/npz.h"
#include "core/unique_fd.h"

namespace headrace {
namespace {

// What a run relies on without looking: the first and the last element are there, wherever strides lead.
uint8_t touch(const Tensor& tensor) {
  if (tensor.elements() == 0) return 0;
  int64_t last = 0;
  for (size_t d = 0; d < tensor.shape().size(); ++d) last += (tensor.shape()[d] - 1) * tensor.strides()[d];
  const int64_t size = dtype_size(tensor.dtype());
  const auto* bytes = reinterpret_cast<const volatile uint8_t*>(tensor.data());
  return static_cast<uint8_t>(bytes[0] ^ bytes[(last + 1) * size - 1]);
}

}  // namespace
}  // namespace headrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  const UniqueFd fd(::memfd_create("npz", 0));
  if (!fd.valid() || ::write(fd.get(), data, size) != static_cast<ssize_t>(size)) return 0;
  const auto arrays = cli::read_npz(fmt::format("/proc/self/fd/{}", fd.get()));
  if (arrays.ok()) {
    for (const NamedTensor& array : *arrays) touch(array.tensor);
  }
  const auto storage = Tensor::make(DType::kU8, {static_cast<int64_t>(size)});
  if (!storage.ok()) return 0;
  if (size > 0) std::memcpy(storage->data(), data, size);
  if (const auto array = cli::parse_npy(*storage, "it"); array.ok()) touch(*array);
  return 0;
}
