// Packs a plan's weights again, for a machine whose kernels want them in other layouts.
#pragma once

#include <string>

#include <headrace/status.h>
#include "engine/plan.h"
#include "weights/weights.h"

namespace headrace {

// The same steps, with the layouts, sizes and groups of the weights chosen anew: the plan that lowering the
// same graph here would give, where all else of it is the same on every machine. `fingerprint` says what here
// is. Errors: kIncompatible where the plan has a weight that cannot be made again; the packer's.
Result<Plan> repack_plan(const Plan& plan, const Packer& packer, std::string fingerprint);

}  // namespace headrace
