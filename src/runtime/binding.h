// Binding: the values of a plan's symbols, from the inputs of a call.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <headrace/status.h>
#include <headrace/tensor.h>
#include "core/dim.h"
#include "core/shape.h"
#include "engine/plan.h"

namespace headrace::runtime {

// Checks count, dtypes, ranks, sizes, profile ranges and guards, in this order, and gives every symbol its
// value. A symbol is found where it stands alone as a size, or in a size that is linear in it; all other
// sizes must then agree. `inputs` as Context::bind takes them.
// Errors: kInvalidArgument with the input's name, what was asked, what was found and the rule.
Result<DimBindings> bind_symbols(const Plan& plan, std::span<const Tensor> inputs);

// The checks of the values alone, for symbols that were bound elsewhere.
Status check_profile(const Plan& plan, const DimBindings& dims);
Status check_guards(const Plan& plan, const DimBindings& dims);

}  // namespace headrace::runtime
