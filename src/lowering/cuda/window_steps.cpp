#include "lowering/cuda/window_steps.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/generated_step.h"
#include "lowering/cuda/pointwise_source.h"

namespace headrace::cuda {

namespace {

Sizes per_dimension(const ir::Node& node, std::string_view name, size_t spatial, int64_t fallback) {
  Sizes values = node.attributes().integers(name);
  if (values.empty()) values.assign(spatial, fallback);
  return values;
}

// The struct W of the device library.
std::string window_struct(const ir::Node& node, const Sizes& kernel) {
  const size_t spatial = kernel.size();
  return constants_struct("$_window", {{"kernel", kernel},
                                       {"stride", per_dimension(node, "stride", spatial, 1)},
                                       {"dilation", per_dimension(node, "dilation", spatial, 1)},
                                       {"low", per_dimension(node, "pad_low", spatial, 0)},
                                       {"high", per_dimension(node, "pad_high", spatial, 0)}});
}

// The operand's spatial sizes.
std::vector<Dim> spatial_sizes(const PlanTensor& x) { return {x.shape.begin() + 1, x.shape.end() - 1}; }

}  // namespace

TensorIndex channels_last_view(PlanBuilder& builder, TensorIndex tensor, bool is_already) {
  if (is_already || tensor == kNone) return tensor;
  const auto rank = static_cast<int64_t>(builder.at(tensor).shape.size());
  std::vector<int64_t> perm = {0};
  for (int64_t d = 2; d < rank; ++d) perm.push_back(d);
  perm.push_back(1);
  return builder.transpose_view(tensor, perm);
}

Status write_pad(StepWriter& writer, const ir::Node& node) {
  HR_ASSIGN(const TensorIndex x, writer.builder().tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex y, writer.builder().tensor(node.output()));
  write_padded(writer, node, x, y, node.attributes().integers("low"), node.attributes().number("value"));
  return {};
}

void write_padded(StepWriter& writer, const ir::Node& node, TensorIndex x, TensorIndex y, const Sizes& low,
                  double value) {
  const DType dtype = writer.builder().at(y).dtype;
  const Shape shape = writer.builder().at(x).shape;
  const int64_t width = StepWriter::vector_width({dtype});
  StepWriter::Step step;
  step.text.family = "pad";
  step.text.declarations = constants_struct("$_low", {{"at", low}});
  step.text.call = fmt::format("pad<{0}, {1}, $_low, {2}, %>(args, narrow<{0}>({3}));", type_name(dtype),
                               shape.size(), width, constant_text(dtype, value));
  step.rule = kEachRule;
  step.inputs = {x};
  step.outputs = {y};
  step.attributes = {{std::string(kNumbers), std::vector<Dim>(shape)},
                     {std::string(kWidth), width},
                     {std::string(kVectors), Sizes{1}}};
  writer.add(node, std::move(step));
}

Status write_pool(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  const bool last = node.attributes().flag("channels_last");
  HR_ASSIGN(const TensorIndex from, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  const TensorIndex x = channels_last_view(builder, from, last), y = channels_last_view(builder, to, last);
  const size_t spatial = builder.at(x).shape.size() - 2;
  const std::string_view type = type_name(node.output()->dtype());
  StepWriter::Step step;
  step.text.family = std::string(node.op()->name);
  if (node.is("adaptive_avg_pool")) {
    step.text.call = fmt::format("adaptive_avg_pool<{}, {}, %>(args);", type, spatial);
  } else {
    step.text.declarations = window_struct(node, node.attributes().integers("kernel"));
    const int64_t width = StepWriter::vector_width({node.output()->dtype()});
    step.text.call =
        fmt::format("pool<{0}, {1}, $_window, {2}<{0}>, {3}, {4}, {5}, %>(args);", type, spatial,
                    node.is("max_pool") ? "MostOfWindow" : "MeanOfWindow",
                    node.attributes().flag("count_padding"), node.attributes().integer("divisor", 0), width);
    step.attributes = {{std::string(kWidth), width}, {std::string(kVectors), Sizes{0, 1}}};
  }
  step.rule = kEachRule;
  step.inputs = {x};
  step.outputs = {y};
  step.attributes.set(kNumbers, spatial_sizes(builder.at(x)));
  writer.add(node, std::move(step));
  return {};
}

Status write_conv(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  const bool last = node.attributes().flag("channels_last"),
             transposed = node.attributes().flag("transposed");
  const int64_t groups = node.attributes().integer("groups", 1);
  const DType dtype = node.output()->dtype();
  HR_ASSIGN(const TensorIndex from, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex w, builder.tensor(node.input(1)));
  HR_ASSIGN(const TensorIndex bias, builder.tensor(node.input(2)));
  HR_ASSIGN(const TensorIndex residual, builder.tensor(node.input(3)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  const TensorIndex x = channels_last_view(builder, from, last), y = channels_last_view(builder, to, last);
  const Shape weights = builder.at(w).shape;
  Sizes kernel;
  for (size_t d = 2; d < weights.size(); ++d) kernel.push_back(weights[d].constant());
  std::vector<Dim> numbers = spatial_sizes(builder.at(x));
  numbers.push_back(Dim::floor_div(builder.at(x).shape.back(), groups));
  numbers.push_back(Dim::floor_div(builder.at(y).shape.back(), groups));
  StepWriter::Step step;
  step.text.family = "conv";
  step.text.declarations =
      window_struct(node, kernel) + epilogue_text("$_epilogue", node.attributes().text("epilogue"), dtype);
  step.text.call = fmt::format("convolve<{}, {}, $_window, {}, $_epilogue, %>(args);", type_name(dtype),
                               kernel.size(), transposed);
  step.rule = kEachRule;
  step.inputs = {x, w, bias, channels_last_view(builder, residual, last)};
  step.outputs = {y};
  step.attributes.set(kNumbers, std::move(numbers));
  writer.add(node, std::move(step));
  return {};
}

}  // namespace headrace::cuda
