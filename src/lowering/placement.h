// Placement: where results lie, decided before steps are written, so that few copies are left.
//
// What lowerings share that give views, windows of concatenations and turned results instead of steps.
#pragma once

#include <functional>
#include <set>

#include <headrace/status.h>
#include "lowering/plan_builder.h"

namespace headrace {

// reshape, transpose, slice, expand: other tensors in the same buffer, where strides can say it.
bool is_view(const ir::Node& node);

// Lets the steps that make the pieces of a concatenation write into the whole, and the step before a
// transpose write as the transpose wants it, where somebody wants that dense. Call before any node is
// lowered. Gives the transposes whose result is written by the step of their input: these need no step.
// REQUIRES: the back end's steps, but for products, write each element once, wherever it lies.
Result<std::set<const ir::Node*>> place_results(PlanBuilder& builder);

// Adds the back end's step that copies between two tensors of one shape and dtype, for `node`.
using CopyStep = std::function<void(const ir::Node& node, TensorIndex from, TensorIndex to)>;

// REQUIRES: is_view(node).
Status lower_view(PlanBuilder& builder, const ir::Node& node, const CopyStep& copy);
Status lower_concat(PlanBuilder& builder, const ir::Node& concat, const CopyStep& copy);

}  // namespace headrace
