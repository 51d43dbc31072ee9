// refused_plan: the error of a plan that asks a kernel for what it does not do.
#pragma once

#include "core/error.h"

namespace headrace {

inline constexpr std::string_view kRefusedPlan =
    "no engine of this version should ask for that; if `headrace verify` finds the file sound, this is "
    "a bug: please report it";

// kCorrupt, for a plan comes from a file. Whether the file was damaged or the lowering was wrong cannot be
// told here. The format says what was asked, and by which step.
template <class... Args>
Status refused_plan(fmt::format_string<Args...> format, Args&&... args) {
  return corrupt("{}; {}", fmt::format(format, std::forward<Args>(args)...), kRefusedPlan);
}

}  // namespace headrace
