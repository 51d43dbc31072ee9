// The text of a file of tuned choices:
//
//   headrace tuning 1
//   place <place>
//   <problem> TAB <choice>
//   …
//   checksum <XXH3-64 of all lines above, 16 hexadecimal digits>
//
// Each line ends with a line feed; the oldest choice comes first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <headrace/bytes.h>
#include <headrace/status.h>
#include "core/tuning_store.h"

namespace headrace::cache {

inline constexpr size_t kMostChoices = 8192;         // of a file; the oldest go
inline constexpr size_t kLongestLine = 2048;         // of a choice; a longer one is not kept
inline constexpr Bytes kLargestTuningFile = mib(4);  // a larger one is none of ours

// `place`, and each problem and choice that is to be kept, holds no tab and no end of line.
std::string tuning_text(std::string_view place, const std::vector<TunedChoice>& choices);

// Errors: kCorrupt: it is not what tuning_text() gave; kIncompatible: it is for another place.
Result<std::vector<TunedChoice>> parse_tuning_text(std::string_view text, std::string_view place);

}  // namespace headrace::cache
