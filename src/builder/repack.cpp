#include "builder/repack.h"

#include <utility>
#include <vector>

#include "builder/builder.h"
#include "core/error.h"

namespace headrace {
namespace {

bool is_packed(const Weight& weight) {
  return !weight.recipe.empty() && weight.recipe.back().op == RecipeOp::kPack;
}

Status repack_weight(Weight& weight, const Packer& packer) {
  weight.checksum = 0;
  if (weight.recipe.empty())
    return incompatible("weight '{}' has no recipe, so it cannot be packed again", weight.name);
  if (!is_packed(weight)) return {};
  const Result<Bytes> stored = packer.choose(weight.recipe.back());
  if (!stored.ok()) return stored.status().with_context(fmt::format("weight '{}'", weight.name));
  weight.stored = weight.resident = *stored;
  return {};
}

// Steps see a packed weight as all of its bytes.
Status resize(PlanTensor& tensor, const Weight& weight, Bytes was) {
  const bool whole = tensor.dtype == DType::kU8 && tensor.shape == Shape{Dim(was.count)} &&
                     tensor.strides == Shape{Dim(1)} && tensor.offset == Dim(0);
  if (!whole) return incompatible("weight '{}' is packed, and a step takes a part of its bytes", weight.name);
  tensor.shape = {Dim(weight.resident.count)};
  return {};
}

}  // namespace

Result<Plan> repack_plan(const Plan& plan, const Packer& packer, std::string fingerprint) {
  Plan here = plan;
  here.fingerprint = std::move(fingerprint);
  for (Weight& weight : here.weights) HR_TRY(repack_weight(weight, packer));
  const auto packed_in = [&](const Buffer& buffer) -> const Weight* {
    if (buffer.kind != BufferKind::kWeight) return nullptr;
    const Weight& weight = here.weights[static_cast<size_t>(buffer.index)];
    return is_packed(weight) ? &weight : nullptr;
  };
  for (PlanTensor& tensor : here.tensors) {
    const Buffer& buffer = here.buffers[static_cast<size_t>(tensor.buffer)];
    const Weight* const weight = packed_in(buffer);
    if (!weight) continue;
    HR_TRY(resize(tensor, *weight, plan.weights[static_cast<size_t>(buffer.index)].resident));
  }
  for (Buffer& buffer : here.buffers)
    if (const Weight* const weight = packed_in(buffer)) buffer.size = Dim(weight->resident.count);
  assign_groups(here);
  return here;
}

}  // namespace headrace
