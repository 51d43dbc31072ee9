// A file given as a .pt2 archive: opened, read whole, and its program read.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include <fmt/core.h>

#include "core/unique_fd.h"
#include "frontend/frontend.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  const UniqueFd fd(::memfd_create("pt2", 0));
  if (!fd.valid() || ::write(fd.get(), data, size) != static_cast<ssize_t>(size)) return 0;
  const auto archive = frontend::Archive::open(fmt::format("/proc/self/fd/{}", fd.get()));
  if (!archive.ok()) return 0;
  for (const std::string& name : (*archive)->names()) {
    if (!(*archive)->read_text(name).ok())
      std::abort();  // an entry that open() accepted lies inside the file
  }
  (void)frontend::read_program(**archive);
  return 0;
}
