// What cuBLASLt and cuDNN take of the products' cases. The lowering asks; whatever is refused here it gives
// to generated kernels. No header of CUDA's is needed to ask, and no device.
//
// What is asked about is the step as it would be written: its attributes (the op's, as docs/ir.md has them)
// and its tensors; an absent input is nullptr. An answer holds for every value of the shapes' symbols.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/plan.h"

namespace headrace::cuda {

using TensorPointers = std::span<const PlanTensor* const>;

// Inputs a, b, [bias], [residual]. A product of 16 bits without these two and a function may give f32.
bool library_takes_matmul(const AttributeMap& attributes, TensorPointers inputs, const PlanTensor& output);
// Whether cuBLASLt may round such a product before its bias or function: where rows do not lie on 16 bytes
// some of its algorithms do, of those that timing picks from. Such a product is asked for in f32, and ended
// apart. REQUIRES: library_takes_matmul() says yes.
bool library_rounds_early(const AttributeMap& attributes, TensorPointers inputs, const PlanTensor& output);
// Inputs x, w, [bias], [residual]. The further attribute weight_channels_last: w is stored [O, k.., C/groups]
// and so has those sizes, whatever the order of x. Where a residual or an epilogue is refused, the
// convolution without them may be taken.
bool library_takes_conv(const AttributeMap& attributes, TensorPointers inputs, const PlanTensor& output);
// Inputs q, k, v, [mask]. `sm`: 90 for compute capability 9.0.
bool library_takes_attention(const AttributeMap& attributes, TensorPointers inputs, const PlanTensor& output,
                             int sm);

// The functions that end a product inside the library; "" is one.
bool library_takes_matmul_epilogue(std::string_view name);

// Whether `dim` is a multiple of `of` whatever its symbols are. True only where that can be proven.
bool is_multiple(const Dim& dim, int64_t of);

}  // namespace headrace::cuda
