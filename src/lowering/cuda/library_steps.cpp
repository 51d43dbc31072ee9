#include "lowering/cuda/library_steps.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/error.h"
#include "kernels/cuda/library_support.h"
#include "kernels/cuda/product_step.h"
#include "lowering/cuda/attention_steps.h"
#include "lowering/cuda/element_steps.h"
#include "lowering/cuda/folded_conv.h"
#include "lowering/cuda/library_attempt.h"
#include "lowering/cuda/product_steps.h"
#include "lowering/cuda/weight_products.h"
#include "lowering/cuda/window_steps.h"

namespace headrace::cuda {

namespace {

using Tensors = std::vector<TensorIndex>;

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

// What a convolution is given instead of its own image: dense, with padding that cuDNN does not take by
// itself.
struct Image {
  TensorIndex x = kNone;  // as it lies, in the order N, spatial.., C, or N, C, spatial.. in planes
  bool planes = false;
  Shape shape;           // of the image that is made
  Sizes low;             // where x begins in it
  bool made = false;     // it is not x
  int64_t channels = 0;  // added behind those of x

  // Padding behind x differs from that before it: it becomes part of the image.
  void take_padding(const ir::Node& conv) {
    const Sizes before = conv.attributes().integers("pad_low"),
                after = conv.attributes().integers("pad_high");
    for (size_t d = 0; d + 2 < shape.size(); ++d) {
      const size_t at = d + (planes ? 2 : 1);
      low[at] = d < before.size() ? before[d] : 0;
      shape[at] = shape[at] + low[at] + (d < after.size() ? after[d] : 0);
    }
    made = true;
  }
};

// Few channels, as a photograph has, are padded with zeros to 16 bytes: cuDNN's fast kernels read so many.
int64_t added_channels(const ir::Node& conv, const PlanTensor& x) {
  const Dim& channels = x.shape.back();
  const int64_t whole = 16 / dtype_size(x.dtype);
  if (!channels.is_constant() || channels.constant() >= whole || channels.constant() < 2 ||
      conv.attributes().integer("groups", 1) != 1)
    return 0;
  return whole - channels.constant();
}

// The weight's tensor as [O, k.., C/groups], with channels of zeros added: stored so where it is a weight,
// copied else.
Result<TensorIndex> channels_last_weight(StepWriter& writer, const ir::Node& node, int64_t channels) {
  PlanBuilder& builder = writer.builder();
  const ir::Value& value = *node.input(1);
  const std::vector<int64_t> perm = weight_order(value.shape().size());
  if (!builder.is_build_time(value)) {
    HR_ASSIGN(const TensorIndex plain, builder.tensor(&value));
    const TensorIndex turned = builder.transpose_view(plain, perm);
    if (channels == 0) return copied(writer, node, turned);
    Shape shape = builder.at(turned).shape;
    shape.back() = shape.back() + channels;
    const TensorIndex padded = builder.add_arena_tensor(value.dtype(), shape);
    write_padded(writer, node, turned, padded, Sizes(shape.size(), 0), 0);
    return padded;
  }
  HR_ASSIGN(Weight weight, builder.draft_weight(value));
  const auto add = [&](RecipeStep step) {
    step.inputs = {static_cast<int>(weight.recipe.size() - 1)};
    step.dtype = weight.dtype;
    step.shape = weight.shape;
    weight.recipe.push_back(std::move(step));
  };
  RecipeStep turn;
  turn.op = RecipeOp::kStrided;
  turn.attributes = {{"strides", permuted(row_major_strides(std::span<const int64_t>(weight.shape)), perm)},
                     {"offset", int64_t{0}}};
  weight.shape = permuted(weight.shape, perm);
  add(std::move(turn));
  if (channels > 0) {
    RecipeStep pad;
    pad.op = RecipeOp::kEval;
    Sizes high(weight.shape.size(), 0);
    high.back() = channels;
    pad.attributes = {
        {"kernel", std::string("pad")}, {"low", Sizes(high.size(), 0)}, {"high", high}, {"value", 0.0}};
    weight.shape.back() += channels;
    add(std::move(pad));
    weight.stored = {element_count(std::span<const int64_t>(weight.shape)) * dtype_size(weight.dtype)};
    weight.resident = weight.stored;
  }
  return builder.weight_tensor(builder.add_weight(std::move(weight)));
}

// `tensor` if it is row-major; else a copy that is.
TensorIndex densely(StepWriter& writer, const ir::Node& node, TensorIndex tensor) {
  return tensor == kNone || writer.builder().is_row_major(tensor) ? tensor : copied(writer, node, tensor);
}

}  // namespace

namespace {

// The product alone, in f32, and then all that ends it, in one kernel that rounds once.
Status lower_wide_matmul(StepWriter& writer, const ir::Node& node, Tensors inputs, TensorIndex output) {
  PlanBuilder& builder = writer.builder();
  inputs.resize(4, kNone);
  Ending ending = {std::exchange(inputs[2], kNone), std::exchange(inputs[3], kNone), std::nullopt};
  if (ending.residual != kNone)
    ending.residual = builder.expand_view(ending.residual, builder.at(output).shape);
  AttributeMap attributes = node.attributes();
  if (const std::string epilogue = attributes.text("epilogue"); !epilogue.empty())
    ending.function = find_pointwise(epilogue)->function;
  attributes.erase("epilogue");
  const TensorIndex wide = builder.add_arena_tensor(DType::kF32, builder.at(output).shape);
  builder.add_step("matmul", node, std::move(inputs), {wide}, std::move(attributes));
  write_ending(writer, node, ending, wide, output);
  return {};
}

}  // namespace

Status lower_matmul(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(Tensors inputs, builder.tensors(node.inputs()));
  HR_ASSIGN(const TensorIndex output, builder.tensor(node.output()));
  if (!writer.target().libraries) return write_matmul(writer, node);
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
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!copies[i]) continue;
    inputs[i] = copied(writer, node, inputs[i]);
    asked.inputs[i] = builder.at(inputs[i]);
  }
  if (library_rounds_early(asked.attributes, asked.pointers(), asked.output))
    return lower_wide_matmul(writer, node, std::move(inputs), output);
  add_weight_products(writer, node, inputs, output, asked.attributes);
  if (apart) {  // the step says all of it, and what is left for a kernel behind cuBLASLt's
    asked.attributes.set("epilogue", epilogue);
    const AttributeMap ending =
        writer.describe(function_step(writer, find_pointwise(epilogue)->function, output, output));
    for (const auto& [name, value] : ending.entries())
      asked.attributes.set(std::string(kEndingPrefix) + name, value);
  }
  builder.add_step("matmul", node, std::move(inputs), {output}, std::move(asked.attributes));
  return {};
}

// Whether cuDNN is given a convolution as planes, which it is only where it has no tensor cores to use: its
// kernels for those want channels last, the others were written for planes.
bool wants_planes(const StepWriter& writer, const ir::Node& node) {
  return node.output()->dtype() == DType::kF32 && !writer.target().tf32 &&
         !node.attributes().flag("channels_last");
}

// Leaves the residual and the epilogue out of a convolution where cuDNN does not take it with them, and then
// the bias: what is left out comes back. nullopt: it does not take the convolution.
std::optional<Ending> take_apart(Attempt& asked, TensorIndex& bias, TensorIndex& residual) {
  const auto takes = [&] { return library_takes_conv(asked.attributes, asked.pointers(), asked.output); };
  Ending ending;
  if (takes()) return ending;
  if (const std::string epilogue = asked.attributes.text("epilogue"); !epilogue.empty())
    ending.function = find_pointwise(epilogue)->function;
  asked.attributes.erase("epilogue");
  asked.inputs[3].reset();
  ending.residual = std::exchange(residual, kNone);
  if (takes()) return ending;
  asked.inputs[2].reset();
  ending.bias = std::exchange(bias, kNone);
  return takes() ? std::optional(ending) : std::nullopt;
}

// The image of a convolution whose x is `from`; `planes` says the order of both.
Image image_of(PlanBuilder& builder, const ir::Node& node, TensorIndex from, bool planes) {
  Image image;
  image.planes = planes;
  image.x = from;
  const PlanTensor& x = builder.at(from);
  image.shape = x.shape;
  image.low.assign(x.shape.size(), 0);
  if (node.attributes().integers("pad_low") != node.attributes().integers("pad_high"))
    image.take_padding(node);
  if (planes) return image;
  image.channels = added_channels(node, x);
  image.made |= image.channels > 0;
  image.shape.back() = image.shape.back() + image.channels;
  return image;
}

// What cuDNN is asked to do with it.
Attempt conv_attempt(const PlanBuilder& builder, const ir::Node& node, const Image& image, TensorIndex bias,
                     TensorIndex residual, TensorIndex y) {
  Attempt asked{node.attributes(), {}, dense(builder.at(y))};
  asked.attributes.set("channels_last", !image.planes);
  asked.attributes.set("weight_channels_last", !image.planes);
  if (node.attributes().integers("pad_low") != node.attributes().integers("pad_high")) {
    asked.attributes.erase("pad_low");
    asked.attributes.erase("pad_high");
  }
  Shape weight = node.input(1)->shape();
  if (!image.planes) {
    weight = permuted(weight, weight_order(weight.size()));
    weight.back() = weight.back() + image.channels;
  }
  asked.inputs = {dense({builder.at(image.x).dtype, image.shape, {}, 0, kNone}),
                  dense({node.input(1)->dtype(), weight, {}, 0, kNone})};
  asked.inputs.push_back(bias == kNone ? std::nullopt : std::optional(builder.at(bias)));
  asked.inputs.push_back(residual == kNone ? std::nullopt : std::optional(dense(builder.at(residual))));
  return asked;
}

Result<TensorIndex> conv_weight(StepWriter& writer, const ir::Node& node, const Image& image) {
  if (!image.planes) return channels_last_weight(writer, node, image.channels);
  HR_ASSIGN(const TensorIndex weight, writer.builder().tensor(node.input(1)));
  return densely(writer, node, weight);
}

// cuDNN is given channels-last tensors alone, or planes alone.
Status lower_conv(StepWriter& writer, const ir::Node& node) {
  if (!writer.target().libraries) return write_conv(writer, node);
  HR_ASSIGN(const bool folded, lower_folded_conv(writer, node));
  if (folded) return {};
  PlanBuilder& builder = writer.builder();
  const bool planes = wants_planes(writer, node), as_is = planes || node.attributes().flag("channels_last");
  HR_ASSIGN(const TensorIndex from, builder.tensor(node.input(0)));
  HR_ASSIGN(TensorIndex bias, builder.tensor(node.input(2)));
  HR_ASSIGN(const TensorIndex added, builder.tensor(node.input(3)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  // Views as cuDNN is to see them: planes stay as they are.
  TensorIndex residual = channels_last_view(builder, added, as_is);
  const TensorIndex y = channels_last_view(builder, to, as_is);
  Image image = image_of(builder, node, channels_last_view(builder, from, as_is), planes);
  Attempt asked = conv_attempt(builder, node, image, bias, residual, y);
  std::optional<Ending> ending = take_apart(asked, bias, residual);
  if (!ending) return write_conv(writer, node);

  const DType dtype = builder.at(y).dtype;
  if (image.made) {
    const TensorIndex padded = builder.add_arena_tensor(dtype, image.shape);
    write_padded(writer, node, image.x, padded, image.low, 0);
    image.x = padded;
  }
  HR_ASSIGN(const TensorIndex w, conv_weight(writer, node, image));
  const bool direct = builder.is_row_major(y);
  const TensorIndex result = direct ? y : builder.add_arena_tensor(dtype, builder.at(y).shape);
  const Tensors inputs = {densely(writer, node, image.x), w, bias, densely(writer, node, residual)};
  builder.add_step("conv", node, inputs, {result}, std::move(asked.attributes));
  if (!ending->empty()) {
    ending->residual = channels_last_view(builder, ending->residual, !planes);
    write_ending(writer, node, *ending, channels_last_view(builder, result, !planes),
                 channels_last_view(builder, y, !planes));
  } else if (!direct) {
    write_copy(writer, node, result, y);
  }
  return {};
}

Status lower_attention(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(Tensors inputs, builder.tensors(node.inputs()));
  HR_ASSIGN(const TensorIndex output, builder.tensor(node.output()));
  const Attempt asked = attempt(builder, node, inputs, output);
  if (!writer.target().libraries ||
      !library_takes_attention(asked.attributes, asked.pointers(), asked.output, writer.target().sm))
    return write_attention(writer, node);
  builder.add_step("attention", node, std::move(inputs), {output}, node.attributes());
  return {};
}

}  // namespace headrace::cuda
