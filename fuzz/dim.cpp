// A size expression in our own text; what is read must be written and read again as the same.
#include <cstdlib>
#include <string_view>

#include "core/dim.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  const Result<Dim> dim = Dim::parse({reinterpret_cast<const char*>(data), size});
  if (!dim.ok()) return 0;
  const Result<Dim> again = Dim::parse(dim->text());
  if (again.ok() && !(*again == *dim)) std::abort();
  const DimBindings sizes = {{"s0", 7}, {"s1", 1}};
  (void)dim->evaluate(sizes);
  return 0;
}
