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

Dim tiles(const Dim& size, int64_t side) { return Dim::floor_div(size + (side - 1), side); }

// Which kernel attends, and by how many warps.
struct AttentionTeam {
  std::string_view function;
  std::string warps;  // template arguments
  int64_t threads;
  int64_t width;  // elements of a vector
  Dim blocks;
};

AttentionTeam attention_team(const StepWriter& writer, DType dtype, const Dim& heads, const Dim& queries,
                             const Dim& keys, const Dim& depth, const Dim& width, bool varied) {
  constexpr int64_t kWidest = 128;  // what registers hold
  const bool on_tensor_cores = (dtype == DType::kF16 || dtype == DType::kBF16) &&
                               depth.constant() <= kWidest && width.constant() <= kWidest;
  constexpr int64_t kRowsOfWarps = 4;
  if (!on_tensor_cores) return {"attend", "4", kRowsOfWarps * 32, 1, tiles(heads * queries, kRowsOfWarps)};
  // Blocks of many queries read keys least often; few blocks leave the device idle. Measured on an H200.
  constexpr int64_t kBusy = 80;
  const int64_t head_count = writer.at_opt(heads).value_or(1), rows = writer.at_opt(queries).value_or(1);
  const auto is_busy = [&](int64_t warps) {
    return head_count * ((rows + 16 * warps - 1) / (16 * warps)) >= kBusy;
  };
  const int64_t query_warps = is_busy(4) ? 4 : is_busy(2) ? 2 : 1;
  const int64_t key_warps = query_warps == 4 ? 1 : 2;
  // Longer tiles, so that there is less to wait for, where shared memory has the room.
  const bool long_tiles = query_warps == 1 && depth.constant() + width.constant() <= kWidest &&
                          writer.at_opt(keys).value_or(0) > 64;
  return {"attend_tiles",
          fmt::format("{}, {}, {}, {}", query_warps, key_warps, long_tiles ? 128 : 64, varied),
          32 * query_warps * key_warps, 8, heads * tiles(queries, 16 * query_warps)};
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
  step.attributes = {
      {std::string(kNumbers), std::vector<Dim>{builder.at(a).shape.back()}},
      {std::string(kOuter), static_cast<int64_t>(shape.size()) - 2},
      {std::string(kThreads), Sizes{kSide, kSide}},
      {std::string(kBlocks), batches * tiles(shape[shape.size() - 2], kSide) * tiles(shape.back(), kSide)}};
  writer.add(node, std::move(step));
  return {};
}

Status write_attention(StepWriter& writer, const ir::Node& node) {
  PlanBuilder& builder = writer.builder();
  HR_ASSIGN(const TensorIndex q, builder.tensor(node.input(0)));
  HR_ASSIGN(const TensorIndex k, builder.tensor(node.input(1)));
  HR_ASSIGN(const TensorIndex v, builder.tensor(node.input(2)));
  HR_ASSIGN(TensorIndex mask, builder.tensor(node.input(3)));
  HR_ASSIGN(const TensorIndex y, builder.tensor(node.output()));
  const Shape shape = builder.at(y).shape, keys = builder.at(k).shape;
  const size_t rank = shape.size();
  const DType dtype = node.output()->dtype();
  const DType mask_dtype = mask == kNone ? dtype : builder.at(mask).dtype;
  if (mask != kNone) {
    Shape scores = shape;
    scores.back() = keys[rank - 2];
    mask = builder.expand_view(mask, scores);
  }
  const Dim heads = element_count(std::span<const Dim>(shape).first(rank - 2));
  const bool varied = mask != kNone && !(builder.at(mask).strides[rank - 2] == Dim(0));
  const AttentionTeam team = attention_team(writer, dtype, heads, shape[rank - 2], keys[rank - 2],
                                            keys.back(), shape.back(), varied);
  StepWriter::Step step;
  step.text.family = "attention";
  step.text.threads = team.threads;
  step.text.waits = team.function == "attend_tiles";
  // Registers for five blocks a multiprocessor: 660 of 64 queries at a time on an H200, not 528.
  if (step.text.waits && team.threads == 4 * 32 && !varied) step.text.resident = 5;
  step.text.call = fmt::format("{}<{}, {}, {}, {}, {}, {}, {}, %>(args, {});", team.function,
                               type_name(dtype), type_name(mask_dtype), rank, keys.back().constant(),
                               shape.back().constant(), node.attributes().flag("causal"), team.warps,
                               constant_text(DType::kF64, node.attributes().number("scale", 1)));
  step.rule = kGridRule;
  step.inputs = {q, k, v, mask};
  step.outputs = {y};
  step.attributes = {{std::string(kNumbers),
                      std::vector<Dim>{keys[rank - 2], Dim::floor_div(shape[rank - 3], keys[rank - 3])}},
                     {std::string(kOuter), static_cast<int64_t>(rank) - 1},
                     {std::string(kThreads), Sizes{team.threads, 1}},
                     {std::string(kWidth), team.width},
                     {std::string(kVectors), Sizes{0, 1, 2, 4}},
                     {std::string(kBlocks), team.blocks}};
  writer.add(node, std::move(step));
  return {};
}

}  // namespace headrace::cuda
