// "Did you mean": the known word that is nearest to what was typed.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace headrace::cli {

// Counts letters inserted, left out, replaced, or swapped with their neighbour. Empty where no word is near:
// within a third of its letters, and at least one.
std::string nearest(std::string_view typed, std::span<const std::string> known);

}  // namespace headrace::cli
