#include "lowering/cuda/row_steps.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/generated_step.h"

namespace headrace::cuda {

namespace {

// The dimensions that `axes` does not name, then those.
std::vector<int64_t> axes_last(size_t rank, const std::vector<int64_t>& axes) {
  std::vector<int64_t> perm;
  for (size_t d = 0; d < rank; ++d)
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(d)) == axes.end())
      perm.push_back(static_cast<int64_t>(d));
  std::vector<int64_t> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  perm.insert(perm.end(), sorted.begin(), sorted.end());
  return perm;
}

// A step along the last `inner` dimensions of its first input.
class RowStep {
 public:
  RowStep(StepWriter& writer, TensorIndex x, size_t inner)
      : writer_(writer), x_(writer.builder().at(x)), outer_(x_.shape.size() - inner) {
    rows_ = element_count(std::span<const Dim>(x_.shape).first(outer_));
    columns_ = element_count(std::span<const Dim>(x_.shape).subspan(outer_));
    team_ = writer.row_team(rows_, columns_, neighbours_are_rows());
  }

  const std::string& type() const { return team_.type; }
  // Whether a block takes rows that are neighbours in memory.
  bool takes_neighbours() const { return team_.type.starts_with("ColumnTeam"); }
  void set_row_width(int64_t width) { row_width_ = width; }
  void use_warps() { team_ = {"WarpTeam<4>", {128, 1}, 32, 4}; }

  // Whether each thread can keep its part of the row in registers; it then has "pieces, width, columns" of
  // kept(), and a team that fits. `tensors`: all that are walked by columns.
  bool keeps(const std::vector<TensorIndex>& tensors) {
    constexpr int64_t kRegisters = 32;
    const std::optional<int64_t> most = writer_.at_most(columns_);
    if (!most || neighbours_are_rows()) return false;
    for (const TensorIndex tensor : tensors)
      if (tensor != kNone && !columns_are_dense(writer_.builder().at(tensor))) return false;
    int64_t width = StepWriter::vector_width({x_.dtype});
    const RowTeam team = writer_.kept_row_team(rows_, *most, width);
    while (width > 1 && width * team.size >= 2 * *most) width /= 2;
    const int64_t run = width * team.size, pieces = std::max<int64_t>(1, (*most + run - 1) / run);
    if (pieces * width > kRegisters) return false;
    team_ = team;
    width_ = width;
    kept_ = fmt::format("{}, {}, {}", pieces, width, columns_.is_constant() ? columns_.constant() : 0);
    return true;
  }
  const std::string& kept() const { return kept_; }

  void add(const ir::Node& node, std::string family, std::string call, std::vector<TensorIndex> inputs,
           TensorIndex output, std::string_view not_empty = "") {
    StepWriter::Step step;
    step.text = {std::move(family), "", 0, team_.block(), std::move(call)};
    step.rule = kRowsRule;
    step.inputs = std::move(inputs);
    step.outputs = {output};
    step.attributes = {{std::string(kOuter), static_cast<int64_t>(outer_)},
                       {std::string(kThreads), team_.threads},
                       {std::string(kRowsPerBlock), team_.rows_per_block},
                       {std::string(kWidth), width_}};
    if (row_width_ > 1) step.attributes.set(kRowWidth, row_width_);
    if (!not_empty.empty()) step.attributes.set(kNotEmpty, std::string(not_empty));
    writer_.add(node, std::move(step));
  }

 private:
  // Whether neighbours in memory belong to different rows.
  bool neighbours_are_rows() const {
    for (size_t d = outer_; d < x_.shape.size(); ++d)
      if (x_.strides[d] == Dim(1) && !(x_.shape[d] == Dim(1))) return false;
    return outer_ > 0 && x_.strides[outer_ - 1] == Dim(1);
  }

  // Whether the columns' dimensions, the tensor's last ones, are row-major.
  bool columns_are_dense(const PlanTensor& tensor) const {
    Dim expected = 1;
    const size_t inner = x_.shape.size() - outer_;
    if (tensor.shape.size() < inner) return false;
    for (size_t i = 1; i <= inner; ++i) {
      const size_t d = tensor.shape.size() - i;
      if (!(tensor.shape[d] == x_.shape[x_.shape.size() - i])) return false;
      if (!(tensor.shape[d] == Dim(1)) && !(tensor.strides[d] == expected)) return false;
      expected = expected * tensor.shape[d];
    }
    return true;
  }

  StepWriter& writer_;
  PlanTensor x_;
  size_t outer_;
  Dim rows_, columns_;
  RowTeam team_;
  int64_t width_ = 1, row_width_ = 1;
  std::string kept_;
};

// [N, C, spatial..] as [N, groups, C / groups, spatial..].
TensorIndex split_channels(PlanBuilder& builder, TensorIndex tensor, int64_t groups) {
  const PlanTensor x = builder.at(tensor);
  const Dim part = Dim::floor_div(x.shape[1], groups);
  Shape shape = x.shape, strides = x.strides;
  shape[1] = part;
  shape.insert(shape.begin() + 1, groups);
  strides.insert(strides.begin() + 1, x.strides[1] * part);
  return builder.add_view(tensor, std::move(shape), std::move(strides), x.offset);
}

// A scale [C] as an operand of [N, groups, C / groups, spatial..].
TensorIndex split_scale(PlanBuilder& builder, TensorIndex tensor, int64_t groups, size_t spatial) {
  if (tensor == kNone) return kNone;
  const PlanTensor x = builder.at(tensor);
  const Dim part = Dim::floor_div(x.shape[0], groups);
  Shape shape = {groups, part}, strides = {x.strides[0] * part, x.strides[0]};
  shape.insert(shape.end(), spatial, Dim(1));
  strides.insert(strides.end(), spatial, Dim(0));
  return builder.add_view(tensor, std::move(shape), std::move(strides), x.offset);
}

// A reduction's result, read by the dimensions that are left alone.
TensorIndex without_kept(PlanBuilder& builder, TensorIndex tensor, std::vector<int64_t> axes, bool keepdim,
                         size_t inner) {
  PlanTensor y = builder.at(tensor);
  std::sort(axes.rbegin(), axes.rend());
  for (const int64_t axis : axes) {
    if (!keepdim) break;
    y.shape.erase(y.shape.begin() + axis);
    y.strides.erase(y.strides.begin() + axis);
  }
  y.shape.insert(y.shape.end(), inner, Dim(1));
  y.strides.insert(y.strides.end(), inner, Dim(0));
  return builder.add_view(tensor, y.shape, y.strides, y.offset);
}

struct AxisViews {
  TensorIndex x, y;
};
// Input and output of a node along whose `axis` rows lie, with that axis last.
Result<AxisViews> views_along_axis(PlanBuilder& builder, const ir::Node& node) {
  HR_ASSIGN(const TensorIndex from, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  const std::vector<int64_t> perm =
      axes_last(builder.at(from).shape.size(), {node.attributes().integer("axis")});
  return AxisViews{builder.transpose_view(from, perm), builder.transpose_view(to, perm)};
}

}  // namespace

Status write_softmax(StepWriter& writer, const ir::Node& node) {
  HR_ASSIGN(const AxisViews views, views_along_axis(writer.builder(), node));
  const auto [x, y] = views;
  RowStep step(writer, x, 1);
  const std::string_view type = type_name(node.output()->dtype());
  const bool log = node.attributes().flag("log");
  const std::string call =
      step.keeps({x, y})
          ? fmt::format("softmax_kept<{}, {}, {}, {}, %>(args);", type, step.type(), step.kept(), log)
          : fmt::format("softmax<{}, {}, {}, %>(args);", type, step.type(), log);
  step.add(node, "softmax", call, {x}, y);
  return {};
}

Status write_norm(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  const bool centred = !node.is("rms_norm");
  HR_ASSIGN(TensorIndex x, builder.tensor(node.input(0)));
  HR_ASSIGN(TensorIndex scale, builder.tensor(node.input(1)));
  HR_ASSIGN(TensorIndex bias, builder.tensor(node.input(2)));
  HR_ASSIGN(TensorIndex y, builder.tensor(node.output()));
  auto inner = static_cast<size_t>(node.attributes().integer("axes", 1));
  if (node.is("group_norm")) {
    const int64_t groups = node.attributes().integer("groups", 1);
    const size_t spatial = builder.at(x).shape.size() - 2;
    x = split_channels(builder, x, groups);
    y = split_channels(builder, y, groups);
    scale = split_scale(builder, scale, groups, spatial);
    bias = split_scale(builder, bias, groups, spatial);
    inner = spatial + 1;
  }
  RowStep step(writer, x, inner);
  const bool keeps = step.keeps({x, scale, bias, y});
  const std::string team = keeps ? fmt::format("{}, {}", step.type(), step.kept()) : step.type();
  step.add(node, std::string(node.op()->name),
           fmt::format("normalise{}<{}, {}, {}, {}, {}, %>(args, {});", keeps ? "_kept" : "",
                       type_name(node.output()->dtype()), team, centred, scale != kNone, bias != kNone,
                       constant_text(DType::kF64, node.attributes().number("eps"))),
           {x, scale, bias}, y);
  return {};
}

Status write_reduce(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  const std::string kind = node.attributes().text("kind");
  const std::vector<int64_t> axes = node.attributes().integers("axes");
  HR_ASSIGN(const TensorIndex from, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  const TensorIndex x = builder.transpose_view(from, axes_last(builder.at(from).shape.size(), axes));
  const TensorIndex y = without_kept(builder, to, axes, node.attributes().flag("keepdim"), axes.size());
  RowStep step(writer, x, axes.size());
  const std::string_view op = kind == "max"    ? "Most"
                              : kind == "min"  ? "Least"
                              : kind == "prod" ? "Multiply"
                              : kind == "any"  ? "Any"
                              : kind == "all"  ? "All"
                                               : "Add";
  const bool extreme = kind == "max" || kind == "min";
  const DType dtype = node.input(0)->dtype();
  const int64_t width = StepWriter::vector_width({dtype, node.output()->dtype()});
  const bool vectors = is_float(dtype) && width > 1 && step.takes_neighbours();
  if (vectors) step.set_row_width(width);
  step.add(node, "reduce_" + kind,
           fmt::format("reduce_{}<{}, {}, {}, {}, {}, {}, {}%>(args);", vectors ? "neighbours" : "rows",
                       type_name(dtype), type_name(node.output()->dtype()), step.type(), op, kind == "mean",
                       kind == "any" || kind == "all", vectors ? fmt::format("{}, ", width) : ""),
           {x}, y, extreme ? kind : "");
  return {};
}

Status write_arg_reduce(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  const std::string kind = node.attributes().text("kind");
  const int64_t axis = node.attributes().integer("axis");
  HR_ASSIGN(const TensorIndex from, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex to, builder.tensor(node.output()));
  const TensorIndex x = builder.transpose_view(from, axes_last(builder.at(from).shape.size(), {axis}));
  const TensorIndex y = without_kept(builder, to, {axis}, node.attributes().flag("keepdim"), 1);
  RowStep step(writer, x, 1);
  step.add(node, "arg_" + kind,
           fmt::format("arg_reduce_rows<{}, {}, {}, %>(args);", type_name(node.input(0)->dtype()),
                       step.type(), kind == "max"),
           {x}, y, "arg " + kind);
  return {};
}

Status write_cumsum(StepWriter& writer, const ir::Node& node) {
  HR_ASSIGN(const AxisViews views, views_along_axis(writer.builder(), node));
  const auto [x, y] = views;
  RowStep step(writer, x, 1);
  step.use_warps();
  step.add(node, "cumsum", fmt::format("cumsum_rows<{}, 4, %>(args);", type_name(node.output()->dtype())),
           {x}, y);
  return {};
}

}  // namespace headrace::cuda
