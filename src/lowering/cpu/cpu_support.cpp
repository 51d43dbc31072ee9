#include "lowering/cpu/cpu_support.h"

#include "kernels/cpu/pointwise_kernel.h"
#include "lowering/support_checks.h"

namespace headrace::cpu {

namespace {

Support check_matmul(const ir::Node& node) {
  if (node.input(0)->rank() >= 2 && node.input(1)->rank() >= 2) return supported();
  return not_supported("matmul of vectors is not supported; matrices are");
}

Support check_conv(const ir::Node& node) {
  const Shape& weight = node.input(1)->shape();
  if (is_static(weight)) return supported();
  return not_supported("conv with a weight of sizes {} that change is not supported", to_text(weight));
}

Support check_attention(const ir::Node& node) {
  if (node.input(0)->rank() >= 3) return supported();
  return not_supported("attention without a dimension of heads is not supported");
}

constexpr SupportRow kLimits[] = {
    {"matmul", check_matmul}, {"conv", check_conv}, {"attention", check_attention}};

}  // namespace

Support supports_node(const ir::Node& node) { return check_support(node, {"cpu", computes, kLimits}); }

}  // namespace headrace::cpu
