// The layout of a packed weight, as oneDNN describes it.
#pragma once

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/packing.h"

namespace headrace::cpu {

struct PackedLayout {
  dnnl::memory::desc
      plain;  // the weight as the recipe computes it: row-major; in f32 where products are in f32
  dnnl::memory::desc packed;  // likewise
  DType dtype = DType::kF32;  // of the stored elements
  Bytes stored;
};
// What oneDNN chooses here and now for the step's attributes (`blocks` is not looked at).
// Errors: kUnsupported (not a layout of ours), kCorrupt (attributes that do not fit the shape).
Result<PackedLayout> choose_layout(const RecipeStep& step);
// The same, checked against `blocks`. Errors: kIncompatible where they differ.
Result<PackedLayout> checked_layout(const RecipeStep& step);

}  // namespace headrace::cpu
