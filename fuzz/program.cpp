// The texts of a program, with a zero byte between them: model.json, the weights' config, the constants'
// config.
#include <string_view>

#include "frontend/frontend.h"
#include "frontend/guards.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  std::string_view texts[3];
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (std::string_view& text : texts) {
    text = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(text.size() + 1, rest.size()));
  }
  const auto program = frontend::parse_program(texts[0], texts[1], texts[2]);
  if (program.ok()) (void)frontend::parse_guards(*program);
  return 0;
}
