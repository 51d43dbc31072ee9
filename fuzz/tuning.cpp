// A file of tuned choices, as it is and with a checksum that is right; what is read must be written and read
// again as the same.
#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>

#include <fmt/format.h>

#include "cache/tuning_text.h"
#include "core/hash.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headrace;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)cache::parse_tuning_text(input, "here");
  std::string whole = "headrace tuning 1\nplace here\n" + std::string(input);
  whole += fmt::format("checksum {:016x}\n", checksum(std::as_bytes(std::span(whole))));
  auto choices = cache::parse_tuning_text(whole, "here");
  if (!choices.ok()) return 0;
  for (int i = 0; i < 2; ++i) {  // the first time may leave out what is not kept
    const std::string text = cache::tuning_text("here", *choices);
    auto again = cache::parse_tuning_text(text, "here");
    if (!again.ok() || (i == 1 && *again != *choices)) std::abort();
    choices = std::move(again);
  }
  return 0;
}
