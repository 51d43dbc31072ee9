// Packed weights: the layouts that oneDNN's products want, chosen once, at build, for the profile's opt
// shape.
//
// A recipe's kPack step says what the weight is packed for (its attributes) and the layout that was chosen
// for it by Packer::choose (`blocks`, as text). A machine that would choose another layout must not run the
// bytes: kIncompatible.
//
// `layout` is "matmul" (the weight is [K, N], or [N, K] where `transposed`; `rows` is M at opt) or "conv"
// (the conv's attributes; `x` is its input's [N, C, spatial..] at opt). Weights of a type that oneDNN has no
// products of here (product_dtype) lie as f32 ones would, in halves.
#pragma once

#include <headrace/status.h>
#include "engine/recipe.h"
#include "kernels/cpu/step_kernel.h"

namespace headrace::cpu {

AttributeMap matmul_packing(int64_t rows, bool transposed);
// `conv`: the attributes of the conv op.
AttributeMap conv_packing(const AttributeMap& conv, const Sizes& x);

// The functions that products apply on the way, as names of unary pointwise functions.
std::vector<std::string> product_epilogues();

// The pack step of a weight that a step reads. Errors: kCorrupt where it is no weight packed as `layout`.
Result<const RecipeStep*> packed_weight(const StepShapes& step, const StepTensor& tensor,
                                        std::string_view layout);

}  // namespace headrace::cpu
