// Sizes as people read and write them.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include <headrace/bytes.h>
#include <headrace/status.h>

namespace headrace {

std::string to_text(Bytes bytes);  // "512 B", "64.0 KiB", "86.7 MiB", "1.02 GiB"

// "1048576", "512MiB", "1.5 GiB", "100MB" (decimal), "4k" is refused. Errors: kInvalidArgument with the text
// and examples.
Result<Bytes> parse_bytes(std::string_view text);

// A weight budget as typed: "all", "auto", "10%", "512MiB", "0".
struct BudgetText {
  enum class Kind { kBytes, kShare, kAll, kAuto } kind = Kind::kAuto;
  Bytes bytes;             // kBytes
  int64_t millionths = 0;  // kShare: 10% is 100000
};
Result<BudgetText> parse_budget(std::string_view text);

}  // namespace headrace
