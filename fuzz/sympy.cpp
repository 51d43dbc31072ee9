// A size expression; what is read must be written and read again as the same.
#include <cstdlib>
#include <string_view>

#include "frontend/sympy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  const Result<Dim> dim = frontend::parse_sympy({reinterpret_cast<const char*>(data), size});
  if (!dim.ok()) return 0;
  const Result<Dim> again = Dim::parse(dim->text());
  if (again.ok() && !(*again == *dim)) std::abort();
  return 0;
}
