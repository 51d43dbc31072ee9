#include "lowering/cpu/cpu_weights.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/packing.h"

namespace headrace::cpu {

namespace {

// Weights above the first size are split, into panels of about the second: what is streamed at once.
constexpr Bytes kSplitAbove = mib(16);
constexpr Bytes kPanel = mib(8);
constexpr int64_t kPanelColumns = 64;  // panels are a multiple of it wide: oneDNN's blocks

bool packs(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16; }

bool is_positive(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(),
                     [](const Dim& dim) { return dim.is_constant() && dim.constant() > 0; });
}

// Ends the recipe in columns [begin, end) of a [K, N] weight, or rows of an [N, K] one.
void take_panel(Weight& weight, bool transposed, int64_t begin, int64_t end) {
  if (transposed) return take_rows(weight, begin, end);
  RecipeStep step;
  step.op = RecipeOp::kStrided;
  step.inputs = {static_cast<int>(weight.recipe.size() - 1)};
  step.dtype = weight.dtype;
  step.attributes = {{"strides", Sizes{weight.shape[1], 1}}, {"offset", begin}};
  weight.shape[1] = end - begin;
  step.shape = weight.shape;
  weight.recipe.push_back(std::move(step));
}

// The weight with its recipe ended in a layout of ours.
Status pack_weight(Weight& weight, AttributeMap attributes) {
  RecipeStep step;
  step.op = RecipeOp::kPack;
  step.dtype = weight.dtype;
  step.shape = weight.shape;
  step.attributes = std::move(attributes);
  HR_ASSIGN(const Bytes stored, make_packer()->choose(step));
  pack(weight, std::move(step.attributes), stored);
  return {};
}

}  // namespace

Result<Sizes> CpuWeights::opt_sizes(const Shape& shape) const {
  HR_ASSIGN(Sizes sizes, evaluate(shape, opt_));
  for (int64_t& size : sizes) size = std::max<int64_t>(size, 1);
  return sizes;
}

bool CpuWeights::packs_matmul(const ir::Node& matmul) const {
  const ir::Value& b = *matmul.input(1);
  return builder_.is_build_time(b) && b.rank() == 2 && packs(b.dtype()) && is_positive(b.shape());
}

Result<WeightPanel> CpuWeights::add_panel(const Weight& whole, bool transposed, int64_t rows, int64_t begin,
                                          int64_t end) {
  Weight weight = whole;
  const int64_t columns = whole.shape[transposed ? 0 : 1];
  if (end - begin < columns) {
    weight.name = fmt::format("{}[{}:{}]", whole.name, begin, end);
    take_panel(weight, transposed, begin, end);
  }
  HR_TRY(pack_weight(weight, matmul_packing(rows, transposed)));
  return WeightPanel{begin, end, builder_.weight_tensor(builder_.add_weight(std::move(weight)))};
}

Result<std::vector<WeightPanel>> CpuWeights::matmul_panels(const ir::Node& matmul) {
  const bool transposed = matmul.attributes().flag("transpose_b");
  HR_ASSIGN(const Weight whole, builder_.draft_weight(*matmul.input(1)));
  HR_ASSIGN(const Sizes a, opt_sizes(matmul.input(0)->shape()));
  const int64_t rows = element_count(std::span<const int64_t>(a).first(a.size() - 1));
  const int64_t columns = whole.shape[transposed ? 0 : 1];
  int64_t width = columns;
  if (whole.stored > kSplitAbove) {
    const int64_t count = (whole.stored.count + kPanel.count - 1) / kPanel.count;
    width = (columns + count - 1) / count;
    width = (width + kPanelColumns - 1) / kPanelColumns * kPanelColumns;
  }
  std::vector<WeightPanel> panels;
  for (int64_t begin = 0; begin < columns; begin += width) {
    HR_ASSIGN(const WeightPanel panel,
              add_panel(whole, transposed, rows, begin, std::min(begin + width, columns)));
    panels.push_back(panel);
  }
  return panels;
}

bool CpuWeights::packs_conv(const ir::Node& conv) const {
  const ir::Value& weight = *conv.input(1);
  if (!builder_.is_build_time(weight) || !packs(weight.dtype()) || !is_positive(weight.shape())) return false;
  const Result<Sizes> y = evaluate(conv.output()->shape(), opt_);
  const Result<Sizes> x = evaluate(conv.input(0)->shape(), opt_);
  return x.ok() && y.ok() && element_count(*x) > 0 && element_count(*y) > 0;
}

Result<TensorIndex> CpuWeights::conv_weight(const ir::Node& conv) {
  HR_ASSIGN(Weight weight, builder_.draft_weight(*conv.input(1)));
  HR_ASSIGN(Sizes x, opt_sizes(conv.input(0)->shape()));
  if (conv.attributes().flag("channels_last")) std::rotate(x.begin() + 1, x.end() - 1, x.end());
  HR_TRY(pack_weight(weight, conv_packing(conv.attributes(), x)));
  return builder_.weight_tensor(builder_.add_weight(std::move(weight)));
}

Status CpuWeights::place_rows(const ir::Node& gather) {
  const ir::Value* value = gather.input(0);
  if (builder_.has_tensor(value) || !builder_.is_build_time(*value) || value->is_graph_output() ||
      value->rank() < 1)
    return {};
  const bool by_rows = std::all_of(value->users().begin(), value->users().end(), [&](const ir::Node* user) {
    if (builder_.is_build_time(*user)) return true;
    if (std::count(user->inputs().begin(), user->inputs().end(), value) != 1) return false;
    if (user->is("matmul")) return user->input(1) == value && packs_matmul(*user);
    return user->is("gather") && user->input(0) == value && user->attributes().integer("axis") == 0;
  });
  if (!by_rows) return {};
  HR_ASSIGN(Weight weight, builder_.draft_weight(*value));
  if (weight.stored < kAlwaysResidentBelow) return {};
  weight.use = WeightUse::kRows;
  builder_.place(value, builder_.weight_tensor(builder_.add_weight(std::move(weight))));
  return {};
}

}  // namespace headrace::cpu
