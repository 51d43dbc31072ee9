#include "lowering/cuda/attention_steps.h"

#include <optional>

#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/generated_step.h"

namespace headrace::cuda {

namespace {

struct AttentionSizes {
  Dim heads, queries, keys;
  int64_t depth, width;  // of a key, of a value
};

// Which kernel attends, and by how many warps.
struct AttentionTeam {
  std::string_view function = "attend";
  std::string depths, warps = "4";  // arguments of its template
  int64_t threads = 4 * 32;
  int64_t resident = 1;
  int64_t width = 1;  // elements of a vector
  Dim blocks;
  int64_t shared = 0;  // bytes
  bool on_tensor_cores() const { return width > 1; }
};

// Boxes, for many queries at once. nullopt: not for these.
std::optional<AttentionTeam> team_of_boxes(const StepWriter& writer, const AttentionSizes& sizes) {
  constexpr int64_t kKeys = 64, kGroups = 2, kQueries = 64 * kGroups;
  if (writer.target().sm != 90 || sizes.depth != sizes.width || (sizes.depth != 64 && sizes.depth != 128))
    return std::nullopt;
  const int64_t heads = writer.at_opt(sizes.heads).value_or(1),
                rows = writer.at_opt(sizes.queries).value_or(1);
  if (heads * ((rows + kQueries - 1) / kQueries) < writer.target().boxes_from) return std::nullopt;
  AttentionTeam team;
  team.function = "attend_boxes";
  team.depths = fmt::format("{}", sizes.depth);
  team.warps = fmt::format("{}", kGroups);
  team.threads = 128 * kGroups;
  team.resident = 2;
  team.width = 8;
  team.blocks = sizes.heads * Dim::ceil_div(sizes.queries, kQueries);
  team.shared = (kQueries + 4 * kKeys) * sizes.depth * 2 + 1024;  // boxes begin on multiples of 1024
  return team;
}

AttentionTeam attention_team(const StepWriter& writer, DType dtype, const AttentionSizes& sizes) {
  constexpr int64_t kWidest = 128;  // what registers hold
  const bool on_tensor_cores =
      (dtype == DType::kF16 || dtype == DType::kBF16) && sizes.depth <= kWidest && sizes.width <= kWidest;
  AttentionTeam team;
  team.depths = fmt::format("{}, {}", sizes.depth, sizes.width);
  if (!on_tensor_cores) {
    constexpr int64_t kRowsOfWarps = 4;
    team.blocks = Dim::ceil_div(sizes.heads * sizes.queries, kRowsOfWarps);
    return team;
  }
  if (auto boxes = team_of_boxes(writer, sizes)) return *boxes;
  // Blocks of many queries read keys least often; few blocks leave the device idle. Measured on an H200.
  constexpr int64_t kBusy = 80;
  const int64_t heads = writer.at_opt(sizes.heads).value_or(1),
                rows = writer.at_opt(sizes.queries).value_or(1);
  const auto is_busy = [&](int64_t warps) {
    return heads * ((rows + 16 * warps - 1) / (16 * warps)) >= kBusy;
  };
  const int64_t query_warps = is_busy(4) ? 4 : is_busy(2) ? 2 : 1;
  const int64_t key_warps = query_warps == 4 ? 1 : 2;
  // Longer tiles, so that there is less to wait for, where shared memory has the room.
  const bool long_tiles =
      query_warps == 1 && sizes.depth + sizes.width <= kWidest && writer.at_opt(sizes.keys).value_or(0) > 64;
  team.function = "attend_tiles";
  team.warps = fmt::format("{}, {}, {}", query_warps, key_warps, long_tiles ? 128 : 64);
  team.threads = 32 * query_warps * key_warps;
  team.width = 8;
  team.blocks = sizes.heads * Dim::ceil_div(sizes.queries, 16 * query_warps);
  return team;
}

}  // namespace

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
  const AttentionTeam team = attention_team(
      writer, dtype,
      {heads, shape[rank - 2], keys[rank - 2], keys.back().constant(), shape.back().constant()});
  StepWriter::Step step;
  step.text.family = "attention";
  step.text.threads = team.threads;
  step.text.resident = team.resident;
  step.text.waits = team.on_tensor_cores();
  step.text.call = fmt::format("{}<{}, {}, {}, {}, {}, {}{}, %>(args, {});", team.function, type_name(dtype),
                               type_name(mask_dtype), rank, team.depths, node.attributes().flag("causal"),
                               team.warps, team.on_tensor_cores() ? fmt::format(", {}", varied) : "",
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
                     {std::string(kBlocks), team.blocks},
                     {std::string(kShared), team.shared}};
  writer.add(node, std::move(step));
  return {};
}

}  // namespace headrace::cuda
