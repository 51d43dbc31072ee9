// How the CPU back end stores the weights of products: packed for the profile's opt shape, big ones in
// panels.
#pragma once

#include <optional>
#include <vector>

#include "lowering/plan_builder.h"

namespace headrace::cpu {

// Columns [begin, end) of a product's weight, stored for itself.
struct WeightPanel {
  int64_t begin = 0, end = 0;
  TensorIndex tensor = kNone;
};

class CpuWeights {
 public:
  CpuWeights(PlanBuilder& builder, DimBindings opt) : builder_(builder), opt_(std::move(opt)) {}

  // Whether the second operand of `matmul` is stored packed.
  bool packs_matmul(const ir::Node& matmul) const;
  Result<std::vector<WeightPanel>> matmul_panels(const ir::Node& matmul);
  bool packs_conv(const ir::Node& conv) const;
  Result<TensorIndex> conv_weight(const ir::Node& conv);
  // Where `gather` reads rows of a big weight that nothing reads as a whole: they are fetched from where they
  // lie.
  Status place_rows(const ir::Node& gather);

 private:
  Result<WeightPanel> add_panel(const Weight& whole, bool transposed, int64_t rows, int64_t begin,
                                int64_t end);
  Result<Sizes> opt_sizes(const Shape& shape) const;  // at least 1 each

  PlanBuilder& builder_;
  DimBindings opt_;
};

}  // namespace headrace::cpu
