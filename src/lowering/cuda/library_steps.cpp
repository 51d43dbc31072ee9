#include "lowering/cuda/library_steps.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/cuda/library_support.h"
#include "lowering/cuda/element_steps.h"
#include "lowering/cuda/product_steps.h"
#include "lowering/cuda/window_steps.h"

namespace headrace::cuda {

namespace {

using Tensors = std::vector<TensorIndex>;

PlanTensor dense(const PlanTensor& like) {
  return {like.dtype, like.shape, row_major_strides(std::span<const Dim>(like.shape)), 0, like.buffer};
}

// The node's operands as a library step would have them, and what that step is asked with.
struct Attempt {
  AttributeMap attributes;
  std::vector<std::optional<PlanTensor>> inputs;
  PlanTensor output;

  std::vector<const PlanTensor*> pointers() const {
    std::vector<const PlanTensor*> list;
    for (const auto& input : inputs) list.push_back(input ? &*input : nullptr);
    return list;
  }
};

Attempt attempt(const PlanBuilder& builder, const ir::Node& node, const Tensors& inputs, TensorIndex output) {
  Attempt made{node.attributes(), {}, builder.at(output)};
  for (const TensorIndex input : inputs)
    made.inputs.push_back(input == kNone ? std::nullopt : std::optional(builder.at(input)));
  return made;
}

// `tensor`, copied to be row-major.
TensorIndex copied(StepWriter& writer, const ir::Node& node, TensorIndex tensor) {
  const PlanTensor from = writer.builder().at(tensor);
  const TensorIndex to = writer.builder().add_arena_tensor(from.dtype, from.shape);
  write_copy(writer, node, tensor, to);
  return to;
}

bool takes_matmul(const Attempt& asked) {
  return library_takes_matmul(asked.attributes, asked.pointers(), asked.output);
}

// Whether cuBLASLt takes it once some operands are copied; `copies` says which.
bool takes_copied_matmul(Attempt asked, std::vector<bool>& copies) {
  if (takes_matmul(asked)) return true;
  for (size_t i = 0; i < asked.inputs.size(); ++i) {
    if (!asked.inputs[i] || *asked.inputs[i] == dense(*asked.inputs[i])) continue;
    asked.inputs[i] = dense(*asked.inputs[i]);
    copies[i] = true;
    if (takes_matmul(asked)) return true;
  }
  return false;
}

// Padding that differs before and behind, of which the spatial sizes' larger part is left to a step of its
// own.
bool pads_unevenly(const ir::Node& node) {
  return node.attributes().integers("pad_low") != node.attributes().integers("pad_high");
}

// [O, k.., C/groups] of [O, C/groups, k..].
std::vector<int64_t> weight_order(size_t rank) {
  std::vector<int64_t> perm = {0};
  for (size_t d = 2; d < rank; ++d) perm.push_back(static_cast<int64_t>(d));
  perm.push_back(1);
  return perm;
}

template <class List>
List permuted(const List& list, const std::vector<int64_t>& perm) {
  List result;
  for (const int64_t d : perm) result.push_back(list[static_cast<size_t>(d)]);
  return result;
}

// The weight's tensor in that order: stored so where it is a weight, copied else.
Result<TensorIndex> channels_last_weight(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  const ir::Value& value = *node.input(1);
  const std::vector<int64_t> perm = weight_order(value.shape().size());
  if (!builder.is_build_time(value)) {
    HR_ASSIGN(const TensorIndex plain, builder.tensor(&value));
    return copied(writer, node, builder.transpose_view(plain, perm));
  }
  HR_ASSIGN(Weight weight, builder.draft_weight(value));
  RecipeStep step;
  step.op = RecipeOp::kStrided;
  step.inputs = {static_cast<int>(weight.recipe.size() - 1)};
  step.dtype = weight.dtype;
  step.attributes = {{"strides", permuted(row_major_strides(std::span<const int64_t>(weight.shape)), perm)},
                     {"offset", int64_t{0}}};
  weight.shape = permuted(weight.shape, perm);
  step.shape = weight.shape;
  weight.recipe.push_back(std::move(step));
  return builder.weight_tensor(builder.add_weight(std::move(weight)));
}

}  // namespace

Status lower_matmul(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(Tensors inputs, builder.tensors(node.inputs()));
  HR_ASSIGN(const TensorIndex output, builder.tensor(node.output()));
  Attempt asked = attempt(builder, node, inputs, output);
  std::vector<bool> copies(inputs.size(), false);
  bool taken = takes_copied_matmul(asked, copies);
  const std::string epilogue = node.attributes().text("epilogue");
  const bool apart = !taken && !epilogue.empty();
  if (apart) {
    asked.attributes.erase("epilogue");
    std::fill(copies.begin(), copies.end(), false);
    taken = takes_copied_matmul(asked, copies);
  }
  if (!taken) return write_matmul(writer, node);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (copies[i]) inputs[i] = copied(writer, node, inputs[i]);
  builder.add_step("matmul", node, std::move(inputs), {output}, std::move(asked.attributes));
  if (apart) write_function(writer, node, find_pointwise(epilogue)->function, output, output);
  return {};
}

Status lower_conv(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  Tensors inputs;
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    // The weight is looked at where it is decided how it is stored.
    HR_ASSIGN(const TensorIndex tensor, i == 1 ? Result<TensorIndex>(kNone) : builder.tensor(node.input(i)));
    inputs.push_back(tensor);
  }
  HR_ASSIGN(const TensorIndex output, builder.tensor(node.output()));
  const bool last = node.attributes().flag("channels_last");
  Attempt asked = attempt(builder, node, inputs, output);
  PlanTensor weight{node.input(1)->dtype(), node.input(1)->shape(), {}, 0, kNone};
  if (last) {
    weight.shape = permuted(weight.shape, weight_order(weight.shape.size()));
    asked.attributes.set("weight_channels_last", true);
  }
  asked.inputs[1] = dense(weight);
  const bool uneven = pads_unevenly(node);
  const bool copies_x = !(*asked.inputs[0] == dense(*asked.inputs[0]));
  if (uneven) {
    asked.inputs[0] = dense({asked.inputs[0]->dtype, padded_shape(node), {}, 0, kNone});
    asked.attributes.erase("pad_low");
    asked.attributes.erase("pad_high");
  } else if (copies_x) {
    asked.inputs[0] = dense(*asked.inputs[0]);
  }
  if (!library_takes_conv(asked.attributes, asked.pointers(), asked.output)) return write_conv(writer, node);
  if (uneven) {
    inputs[0] = write_padded_image(writer, node, inputs[0]);
  } else if (copies_x) {
    inputs[0] = copied(writer, node, inputs[0]);
  }
  if (last) {
    HR_ASSIGN(inputs[1], channels_last_weight(writer, node));
  } else {
    HR_ASSIGN(inputs[1], builder.tensor(node.input(1)));
  }
  builder.add_step("conv", node, std::move(inputs), {output}, std::move(asked.attributes));
  return {};
}

Status lower_attention(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(Tensors inputs, builder.tensors(node.inputs()));
  HR_ASSIGN(const TensorIndex output, builder.tensor(node.output()));
  const Attempt asked = attempt(builder, node, inputs, output);
  if (!library_takes_attention(asked.attributes, asked.pointers(), asked.output, writer.sm()))
    return write_attention(writer, node);
  builder.add_step("attention", node, std::move(inputs), {output}, node.attributes());
  return {};
}

}  // namespace headrace::cuda
