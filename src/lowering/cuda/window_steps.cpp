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
std::string window_struct(const ir::Node& node, const Sizes& kernel, const Sizes& tile = {}) {
  const size_t spatial = kernel.size();
  return constants_struct("$_window", {{"kernel", kernel},
                                       {"stride", per_dimension(node, "stride", spatial, 1)},
                                       {"dilation", per_dimension(node, "dilation", spatial, 1)},
                                       {"low", per_dimension(node, "pad_low", spatial, 0)},
                                       {"high", per_dimension(node, "pad_high", spatial, 0)},
                                       {"tile", tile}});
}

// The operand's spatial sizes.
std::vector<Dim> spatial_sizes(const PlanTensor& x) { return {x.shape.begin() + 1, x.shape.end() - 1}; }

// Results that a thread makes, by spatial dimension: two by two, where what their windows reach over fits
// into registers and enough threads remain to keep a device busy.
Sizes pool_tile(const StepWriter& writer, const ir::Node& node, const Sizes& kernel, int64_t width) {
  const size_t spatial = kernel.size();
  const Sizes one(spatial, 1);
  const Sizes stride = per_dimension(node, "stride", spatial, 1),
              dilation = per_dimension(node, "dilation", spatial, 1);
  constexpr int64_t kMostCells = 64;
  Sizes tile = one;
  int64_t cells = 1, results = 1;
  for (size_t d = spatial - std::min<size_t>(spatial, 2); d < spatial; ++d) {
    tile[d] = 2;
    cells *= stride[d] + (kernel[d] - 1) * dilation[d] + 1;
    results *= tile[d];
  }
  const int64_t vectors =
      writer.at_opt(element_count(std::span<const Dim>(node.output()->shape()))).value_or(0) / width;
  return cells <= kMostCells && vectors >= writer.target().tile_from * results ? tile : one;
}

// A tensor in the order N, C, spatial...
TensorIndex planes_view(PlanBuilder& builder, TensorIndex tensor, bool is_already) {
  if (is_already) return tensor;
  const auto rank = static_cast<int64_t>(builder.at(tensor).shape.size());
  std::vector<int64_t> perm = {0, rank - 1};
  for (int64_t d = 1; d < rank - 1; ++d) perm.push_back(d);
  return builder.transpose_view(tensor, perm);
}
// Whether neighbours in memory are of one channel.
bool in_planes(const PlanTensor& x, bool last) {
  const size_t rank = x.shape.size(), channel = last ? rank - 1 : 1, column = last ? rank - 2 : rank - 1;
  return x.strides[column] == Dim(1) && !(x.strides[channel] == Dim(1));
}

struct Pool {
  TensorIndex x, y;
  size_t spatial;
  bool last;  // where their channels are
};

// Spatial sizes of x, then of y.
std::vector<Dim> pool_sizes(const PlanBuilder& builder, const Pool& pool) {
  std::vector<Dim> sizes;
  for (const TensorIndex tensor : {pool.x, pool.y}) {
    const Shape& shape = builder.at(tensor).shape;
    const auto first = shape.begin() + (pool.last ? 1 : 2);
    sizes.insert(sizes.end(), first, first + static_cast<ptrdiff_t>(pool.spatial));
  }
  return sizes;
}

void write_windows(StepWriter& writer, const ir::Node& node, const Pool& pool) {
  const DType dtype = node.output()->dtype();
  const Sizes kernel = node.attributes().integers("kernel");
  const int64_t width = pool.last ? StepWriter::vector_width({dtype}) : 1;
  const Sizes tile = pool_tile(writer, node, kernel, width);
  const size_t space = pool.last ? 1 : 2;
  Sizes tiles(pool.spatial + 2, 1);
  std::copy(tile.begin(), tile.end(), tiles.begin() + static_cast<ptrdiff_t>(space));
  StepWriter::Step step;
  step.text.family = std::string(node.op()->name);
  step.text.declarations = window_struct(node, kernel, tile);
  step.text.call =
      fmt::format("pool<{}, {}, {}, $_window, {}, {}, {}, {}, %>(args);", type_name(dtype), pool.spatial,
                  pool.last, node.is("max_pool") ? "MostOfWindow" : "MeanOfWindow",
                  node.attributes().flag("count_padding"), node.attributes().integer("divisor", 0), width);
  step.rule = kEachRule;
  step.inputs = {pool.x};
  step.outputs = {pool.y};
  step.attributes = {{std::string(kNumbers), pool_sizes(writer.builder(), pool)},
                     {std::string(kPerThread), std::move(tiles)}};
  if (pool.last) {
    step.attributes.set(kWidth, width);
    step.attributes.set(kVectors, Sizes{0, 1});
  }
  writer.add(node, std::move(step));
}

void write_adaptive(StepWriter& writer, const ir::Node& node, const Pool& pool) {
  StepWriter::Step step;
  step.text.family = std::string(node.op()->name);
  step.text.call = fmt::format("adaptive_avg_pool<{}, {}, {}, %>(args);", type_name(node.output()->dtype()),
                               pool.spatial, pool.last);
  step.rule = kEachRule;
  step.inputs = {pool.x};
  step.outputs = {pool.y};
  step.attributes.set(kNumbers, pool_sizes(writer.builder(), pool));
  writer.add(node, std::move(step));
}

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
  HR_ASSIGN(const TensorIndex x, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex y, builder.tensor(node.output()));
  const bool last = node.attributes().flag("channels_last"), planes = in_planes(builder.at(x), last);
  const auto view = [&](TensorIndex tensor) {
    return planes ? planes_view(builder, tensor, !last) : channels_last_view(builder, tensor, last);
  };
  const Pool pool = {view(x), view(y), node.output()->shape().size() - 2, !planes};
  if (node.is("adaptive_avg_pool"))
    write_adaptive(writer, node, pool);
  else
    write_windows(writer, node, pool);
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
