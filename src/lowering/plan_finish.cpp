// The end of a plan: outputs, unused parts dropped, weights in order, lifetimes.
#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "lowering/plan_builder.h"

namespace headrace {

namespace {

// Which of `count` things are kept -> their new indices; kNone for those dropped.
std::vector<int32_t> renumber(const std::vector<bool>& used) {
  std::vector<int32_t> to(used.size(), kNone);
  int32_t next = 0;
  for (size_t i = 0; i < used.size(); ++i)
    if (used[i]) to[i] = next++;
  return to;
}

template <class T>
void keep(std::vector<T>& items, const std::vector<int32_t>& to) {
  std::vector<T> kept;
  for (size_t i = 0; i < items.size(); ++i)
    if (to[i] != kNone) kept.push_back(std::move(items[i]));
  items = std::move(kept);
}

void remap(int32_t& index, const std::vector<int32_t>& to) {
  if (index != kNone) index = to[static_cast<size_t>(index)];
}

template <class F>
void for_each_operand(Plan& plan, F f) {
  for (Step& step : plan.steps) {
    for (TensorIndex& tensor : step.inputs) f(tensor);
    for (TensorIndex& tensor : step.outputs) f(tensor);
  }
}

}  // namespace

Status PlanBuilder::add_outputs() {
  for (const ir::GraphOutput& output : graph_.outputs()) {
    OutputSpec spec;
    spec.name = output.name;
    if (output.value) {
      spec.dtype = output.value->dtype();
      spec.shape = output.value->shape();
      HR_ASSIGN(spec.tensor, tensor(output.value));
    } else if (output.number) {
      spec.kind = OutputKind::kNumber;
      spec.number = *output.number;
    } else {
      spec.kind = OutputKind::kNoneValue;
    }
    plan_.outputs.push_back(std::move(spec));
  }
  return {};
}

// Drops the tensors that no step and no output uses, then buffers, weights, literals and sources.
void PlanBuilder::compact() {
  std::vector<bool> tensors(plan_.tensors.size()), buffers(plan_.buffers.size());
  std::vector<bool> weights(plan_.weights.size()), literals(plan_.literals.size());
  std::vector<bool> sources(plan_.sources.size());
  const auto use = [&](TensorIndex tensor) {
    if (tensor != kNone) tensors[static_cast<size_t>(tensor)] = true;
  };
  for_each_operand(plan_, [&](TensorIndex& tensor) { use(tensor); });
  for (const OutputSpec& output : plan_.outputs) use(output.tensor);
  for (size_t i = 0; i < tensors.size(); ++i)
    if (tensors[i]) buffers[static_cast<size_t>(plan_.tensors[i].buffer)] = true;
  for (size_t i = 0; i < buffers.size(); ++i) {
    const Buffer& buffer = plan_.buffers[i];
    // A state stays: it is part of the signature, used or not.
    if (buffer.kind == BufferKind::kState) buffers[i] = true;
    if (!buffers[i]) continue;
    if (buffer.kind == BufferKind::kWeight) weights[static_cast<size_t>(buffer.index)] = true;
    if (buffer.kind == BufferKind::kLiteral) literals[static_cast<size_t>(buffer.index)] = true;
  }
  for (size_t i = 0; i < weights.size(); ++i)
    for (const RecipeStep& step : plan_.weights[i].recipe)
      if (weights[i] && step.op == RecipeOp::kSource) sources[static_cast<size_t>(step.source)] = true;

  const auto new_tensor = renumber(tensors), new_buffer = renumber(buffers), new_weight = renumber(weights);
  const auto new_literal = renumber(literals), new_source = renumber(sources);
  keep(plan_.tensors, new_tensor);
  keep(plan_.buffers, new_buffer);
  keep(plan_.weights, new_weight);
  keep(plan_.literals, new_literal);
  keep(plan_.sources, new_source);
  for_each_operand(plan_, [&](TensorIndex& tensor) { remap(tensor, new_tensor); });
  for (OutputSpec& output : plan_.outputs) remap(output.tensor, new_tensor);
  for (InputSpec& input : plan_.inputs) remap(input.buffer, new_buffer);
  for (PlanTensor& tensor : plan_.tensors) remap(tensor.buffer, new_buffer);
  for (Buffer& buffer : plan_.buffers) {
    if (buffer.kind == BufferKind::kWeight) remap(buffer.index, new_weight);
    if (buffer.kind == BufferKind::kLiteral) remap(buffer.index, new_literal);
  }
  for (Weight& weight : plan_.weights)
    for (RecipeStep& step : weight.recipe) remap(step.source, new_source);
}

void PlanBuilder::order_weights() {
  std::vector<size_t> first_use(plan_.weights.size(), plan_.steps.size());
  for (size_t i = plan_.steps.size(); i-- > 0;)
    for (const TensorIndex tensor : plan_.steps[i].inputs) {
      if (tensor == kNone) continue;
      const Buffer& buffer = plan_.buffers[static_cast<size_t>(at(tensor).buffer)];
      if (buffer.kind == BufferKind::kWeight) first_use[static_cast<size_t>(buffer.index)] = i;
    }
  std::vector<size_t> order(plan_.weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return first_use[a] < first_use[b]; });
  std::vector<int32_t> to(order.size());
  std::vector<Weight> weights;
  for (size_t i = 0; i < order.size(); ++i) {
    to[order[i]] = static_cast<int32_t>(i);
    weights.push_back(std::move(plan_.weights[order[i]]));
  }
  plan_.weights = std::move(weights);
  for (Buffer& buffer : plan_.buffers)
    if (buffer.kind == BufferKind::kWeight) remap(buffer.index, to);
}

void PlanBuilder::set_lifetimes() {
  const auto touch = [this](TensorIndex tensor, StepIndex step) {
    if (tensor == kNone) return;
    Buffer& buffer = plan_.buffers[static_cast<size_t>(at(tensor).buffer)];
    if (buffer.kind != BufferKind::kArena) return;
    if (buffer.first_step == kNone) buffer.first_step = step;
    buffer.last_step = std::max(buffer.last_step, step);
  };
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    for (const TensorIndex tensor : plan_.steps[i].inputs) touch(tensor, static_cast<StepIndex>(i));
    for (const TensorIndex tensor : plan_.steps[i].outputs) touch(tensor, static_cast<StepIndex>(i));
  }
  // An output in the arena is copied after the last step.
  const auto last = static_cast<StepIndex>(plan_.steps.size()) - 1;
  for (const OutputSpec& output : plan_.outputs) touch(output.tensor, last);
}

Result<Plan> PlanBuilder::finish() {
  HR_TRY(add_outputs());
  compact();
  order_weights();
  set_lifetimes();
  return std::move(plan_);
}

}  // namespace headrace
