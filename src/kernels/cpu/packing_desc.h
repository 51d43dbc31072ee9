// The layout of a packed weight, as oneDNN describes it.
#pragma once

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/packing.h"

namespace headrace::cpu {

struct PackedLayout {
  dnnl::memory::desc plain;   // the weight as the recipe computes it: row-major; f16 widened to f32
  dnnl::memory::desc packed;  // in f32 for f16
  DType dtype = DType::kF32;  // of the stored elements
  Bytes stored;
};
// What oneDNN chooses here and now for the step's attributes (`blocks` is not looked at).
// Errors: kUnsupported (not a layout of ours), kCorrupt (attributes that do not fit the shape).
Result<PackedLayout> choose_layout(const RecipeStep& step);
// The same, checked against `blocks`. Errors: kIncompatible where they differ.
Result<PackedLayout> checked_layout(const RecipeStep& step);

}  // namespace headrace::cpu
