// The parts of verify(Plan) that others need alone.
#pragma once

#include <span>

#include <headrace/status.h>
#include "engine/plan.h"
#include "engine/recipe.h"

namespace headrace {

// Errors: kCorrupt; the message begins with the part's name.
Status verify_source(const SourceWeight& source);
// Every step's operands, shapes and attributes, and that the last step is what `weight` says. A weight
// without a recipe is legal; it cannot be made again. REQUIRES: every source is ok.
Status verify_recipe(const Weight& weight, std::span<const SourceWeight> sources);
bool is_valid(DType dtype);

}  // namespace headrace
