#include "lowering/cuda/cuda_support.h"

#include "kernels/cuda/generated_args.h"
#include "kernels/cuda/generated_step.h"
#include "lowering/cuda/pointwise_source.h"
#include "lowering/support_checks.h"

namespace headrace::cuda {

namespace {

Support check_conv(const ir::Node& node) {
  const Shape& weight = node.input(1)->shape();
  if (!is_static(std::span<const Dim>(weight).subspan(2)))
    return not_supported("conv with a window of sizes {} that change is not supported", to_text(weight));
  return supported();
}

Support check_attention(const ir::Node& node) {
  constexpr int64_t kMost = 1024;
  for (const size_t i : {size_t{0}, size_t{2}}) {
    const Dim& size = node.input(i)->shape().back();
    if (!size.is_constant() || size.constant() < 1 || size.constant() > kMost)
      return not_supported("attention with heads of size {} is not supported; constant sizes of 1 to {} are",
                           size.text(), kMost);
  }
  return supported();
}

constexpr SupportRow kLimits[] = {{"conv", check_conv}, {"attention", check_attention}};

Support check_ranks(const ir::Node& node) {
  for (const auto* values : {&node.inputs(), &node.outputs()})
    for (const ir::Value* value : *values)
      if (value && value->rank() > kGeneratedRank)
        return not_supported("a tensor of {} dimensions is not supported; {} are", value->rank(),
                             kGeneratedRank);
  return supported();
}

// Kernels take so many tensors; a concatenation is a copy for each of its own.
Support check_operands(const ir::Node& node) {
  if (node.is("concat")) return supported();
  const size_t count = node.inputs().size() + node.outputs().size();
  if (count <= kGeneratedOperands) return supported();
  return not_supported("{} of {} operands and results is not supported; {} are", node.op()->name, count,
                       kGeneratedOperands);
}

}  // namespace

Support supports_node(const ir::Node& node) {
  for (const auto check : {check_ranks, check_operands}) {
    Support support = check(node);
    if (!support.ok()) return support;
  }
  return check_support(node, {"cuda", computes, kLimits});
}

}  // namespace headrace::cuda
