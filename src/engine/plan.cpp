#include "engine/plan.h"

#include <algorithm>

namespace headrace {

std::vector<std::vector<int32_t>> groups_by_step(const Plan& plan, bool rows) {
  std::vector<std::vector<int32_t>> groups(plan.steps.size());
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    for (const TensorIndex input : plan.steps[i].inputs) {
      if (input == kNone) continue;
      const Buffer& buffer =
          plan.buffers[static_cast<size_t>(plan.tensors[static_cast<size_t>(input)].buffer)];
      if (buffer.kind != BufferKind::kWeight) continue;
      const Weight& weight = plan.weights[static_cast<size_t>(buffer.index)];
      if (weight.group == kNone || (weight.use == WeightUse::kRows && !rows)) continue;
      groups[i].push_back(weight.group);
    }
    std::sort(groups[i].begin(), groups[i].end());
    groups[i].erase(std::unique(groups[i].begin(), groups[i].end()), groups[i].end());
  }
  return groups;
}

}  // namespace headrace
