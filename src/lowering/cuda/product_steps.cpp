#include "lowering/cuda/product_steps.h"

#include <numeric>

#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/generated_step.h"
#include "lowering/cuda/pointwise_source.h"

namespace headrace::cuda {

namespace {

// `tensor` with the leading dimensions of `shape`, broadcast; its last two are its own.
TensorIndex with_batches(PlanBuilder& builder, TensorIndex tensor, const Shape& shape) {
  Shape whole(shape.begin(), shape.end() - 2);
  const Shape own = builder.at(tensor).shape;
  whole.insert(whole.end(), own.end() - 2, own.end());
  return builder.expand_view(tensor, whole);
}

TensorIndex swap_last(PlanBuilder& builder, TensorIndex tensor) {
  std::vector<int64_t> perm(builder.at(tensor).shape.size());
  std::iota(perm.begin(), perm.end(), int64_t{0});
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return builder.transpose_view(tensor, perm);
}

}  // namespace

Status write_matmul(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(const TensorIndex a, builder.tensor(node.input(0)));
  HR_ASSIGN(TensorIndex b, builder.tensor(node.input(1)));
  HR_ASSIGN(TensorIndex bias, builder.tensor(node.input(2)));
  HR_ASSIGN(TensorIndex residual, builder.tensor(node.input(3)));
  HR_ASSIGN(const TensorIndex y, builder.tensor(node.output()));
  const Shape shape = builder.at(y).shape;
  if (node.attributes().flag("transpose_b")) b = swap_last(builder, b);
  if (bias != kNone) bias = builder.expand_view(bias, shape);
  if (residual != kNone) residual = builder.expand_view(residual, shape);
  const DType dtype = node.output()->dtype();
  constexpr int64_t kSide = 16;
  StepWriter::Step step;
  step.text.family = "matmul";
  step.text.declarations = epilogue_text("$_epilogue", node.attributes().text("epilogue"), dtype);
  step.text.threads = kSide * kSide;
  step.text.call = fmt::format("multiply<{}, {}, $_epilogue, %>(args);", type_name(dtype), shape.size());
  step.rule = kGridRule;
  step.inputs = {with_batches(builder, a, shape), with_batches(builder, b, shape), bias, residual};
  step.outputs = {y};
  const Dim batches = element_count(std::span<const Dim>(shape).first(shape.size() - 2));
  step.attributes = {{std::string(kNumbers), std::vector<Dim>{builder.at(a).shape.back()}},
                     {std::string(kOuter), static_cast<int64_t>(shape.size()) - 2},
                     {std::string(kThreads), Sizes{kSide, kSide}},
                     {std::string(kBlocks), batches * Dim::ceil_div(shape[shape.size() - 2], kSide) *
                                                Dim::ceil_div(shape.back(), kSide)}};
  writer.add(node, std::move(step));
  return {};
}

}  // namespace headrace::cuda
