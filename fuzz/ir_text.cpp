// A graph's text, as engine files keep it; what is read must be written and read again as the same.
#include <cstdlib>
#include <string_view>

#include "ir/graph.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  const Result<ir::Graph> graph = ir::parse({reinterpret_cast<const char*>(data), size});
  if (!graph.ok()) return 0;
  (void)ir::verify(*graph);
  const std::string text = ir::print(*graph);
  const Result<ir::Graph> again = ir::parse(text);
  if (again.ok() && ir::print(*again) != text) std::abort();
  return 0;
}
