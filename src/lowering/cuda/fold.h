// Fold: blocks of an image's cells as cells of more channels, for convolutions over few channels in steps.
#pragma once

#include <optional>

#include "ir/graph.h"
#include "lowering/plan_builder.h"

namespace headrace::cuda {

// A convolution of two spatial dimensions whose window moves `stride` cells at a time, as one of `blocks`
// folded cells that moves by one. Sizes are of both spatial dimensions.
struct Fold {
  int64_t channels = 0;       // of x
  Sizes kernel, stride, low;  // of the convolution
  Sizes blocks = {1, 1};      // of its kernel: ceil(kernel / stride)
  int64_t folded = 0;         // channels of a folded cell
};
// nullopt where a convolution is not of that kind, or has too many channels to gain by it.
std::optional<Fold> fold_of(const PlanBuilder& builder, const ir::Node& node);

// The weight, [O, C, k..], as [O, blocks.., padded]: zeros behind the folded channels.
Result<TensorIndex> folded_weight(PlanBuilder& builder, const ir::Node& node, const Fold& fold,
                                  int64_t padded);

}  // namespace headrace::cuda
