// One guard a line, over three inputs and an int.
#include <string>

#include "frontend/guards.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  using frontend::InputSpecEntry;
  frontend::ExportedProgram program;
  program.symbols = {{"s0", 1, 8, 200}, {"s1", 2, 3, 64}, {"s2", 0, 5, 100}};
  for (const char* name : {"x", "y_a", "z_0"}) {
    frontend::TensorMeta meta;
    meta.sizes = {Dim::symbol("s0"), Dim(8) * Dim::symbol("s1"), 4};
    program.tensors[name] = meta;
    program.inputs.push_back({InputSpecEntry::Kind::kUserInput, frontend::TensorName{name}});
  }
  program.sym_ints["n"] = Dim::symbol("s2");
  program.inputs.push_back({InputSpecEntry::Kind::kUserInput, frontend::SymName{"n"}});
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (size_t at = 0; at < text.size() && program.guards_code.size() < 16;) {
    const size_t end = std::min(text.find('\n', at), text.size());
    program.guards_code.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  (void)frontend::parse_guards(program);
  return 0;
}
