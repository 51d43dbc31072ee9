#include "lowering/plan_builder.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace headrace {

namespace {

Relation to_plan(ir::Guard::Relation relation) {
  switch (relation) {
    case ir::Guard::Relation::kEq: return Relation::kEq;
    case ir::Guard::Relation::kNe: return Relation::kNe;
    case ir::Guard::Relation::kLt: return Relation::kLt;
    case ir::Guard::Relation::kLe: return Relation::kLe;
    case ir::Guard::Relation::kGt: return Relation::kGt;
    case ir::Guard::Relation::kGe: return Relation::kGe;
  }
  return Relation::kEq;
}

}  // namespace

Dim byte_size(DType dtype, std::span<const Dim> shape) { return element_count(shape) * dtype_size(dtype); }

PlanBuilder::PlanBuilder(const ir::Graph& graph, std::string backend, std::string fingerprint)
    : graph_(graph) {
  plan_.backend = std::move(backend);
  plan_.fingerprint = std::move(fingerprint);
  add_signature();
  find_sources();
  for (size_t i = 0; i < graph_.outputs().size(); ++i)
    if (const ir::Value* value = graph_.outputs()[i].value)
      output_of_.try_emplace(value, static_cast<int32_t>(i));  // the first of several
}

void PlanBuilder::add_signature() {
  plan_.symbols = graph_.symbols;
  for (const ir::Guard& guard : graph_.guards)
    plan_.guards.push_back({guard.left, guard.right, to_plan(guard.relation)});
  plan_.in_spec = graph_.in_spec;
  plan_.out_spec = graph_.out_spec;
  for (const ir::GraphInput& input : graph_.inputs()) {
    InputSpec spec;
    spec.name = input.name;
    switch (input.kind) {
      case ir::GraphInput::Kind::kTensor:
        spec.dtype = input.value->dtype();
        spec.shape = input.value->shape();
        input_index_[input.value] = static_cast<int32_t>(plan_.inputs.size());
        break;
      case ir::GraphInput::Kind::kNumber:
        spec.kind = InputKind::kNumber;
        spec.symbol = input.symbol;
        break;
      case ir::GraphInput::Kind::kConstant:
        spec.kind = InputKind::kConstant;
        spec.constant = input.constant;
        break;
    }
    plan_.inputs.push_back(std::move(spec));
  }
}

// Nodes are in execution order, so one walk finds what each depends on.
void PlanBuilder::find_sources() {
  for (const auto& node : graph_.nodes()) {
    Source source = Source::kConstant;
    for (const ir::Value* input : node->inputs()) {
      if (!input || source == Source::kRun) continue;
      const Source from = source_of(*input);
      source = from == Source::kRun ? from : std::max(source, from);
    }
    for (const ir::Value* output : node->outputs())
      if (!is_static(output->shape())) source = Source::kRun;
    if (source != Source::kRun) sources_[node.get()] = source;
  }
}

PlanBuilder::Source PlanBuilder::source_of(const ir::Value& value) const {
  switch (value.kind()) {
    case ir::ValueKind::kWeight: return Source::kWeight;
    case ir::ValueKind::kLiteral: return Source::kConstant;
    case ir::ValueKind::kResult: {
      const auto found = sources_.find(value.producer());
      return found == sources_.end() ? Source::kRun : found->second;
    }
    default: return Source::kRun;
  }
}

bool PlanBuilder::is_build_time(const ir::Node& node) const {
  const auto found = sources_.find(&node);
  return found != sources_.end() && found->second == Source::kWeight;
}
bool PlanBuilder::is_build_time(const ir::Value& value) const { return source_of(value) == Source::kWeight; }

// --- Tensors ---

BufferIndex PlanBuilder::add_buffer(BufferKind kind, Dim size, int32_t index) {
  plan_.buffers.push_back({kind, std::move(size), index, kNone, kNone});
  return static_cast<BufferIndex>(plan_.buffers.size() - 1);
}

TensorIndex PlanBuilder::add_row_major(DType dtype, Shape shape, BufferIndex buffer) {
  Shape strides = row_major_strides(shape);
  plan_.tensors.push_back({dtype, std::move(shape), std::move(strides), 0, buffer});
  return static_cast<TensorIndex>(plan_.tensors.size() - 1);
}

TensorIndex PlanBuilder::add_arena_tensor(DType dtype, Shape shape) {
  const BufferIndex buffer = add_buffer(BufferKind::kArena, byte_size(dtype, shape));
  return add_row_major(dtype, std::move(shape), buffer);
}

void PlanBuilder::place(const ir::Value* value, TensorIndex tensor) { tensors_[value] = tensor; }

Result<TensorIndex> PlanBuilder::tensor(const ir::Value* value) {
  if (!value) return TensorIndex{kNone};
  if (const auto found = tensors_.find(value); found != tensors_.end()) return found->second;
  HR_ASSIGN(const TensorIndex made, make_tensor(*value));
  tensors_[value] = made;
  return made;
}

Result<std::vector<TensorIndex>> PlanBuilder::tensors(const std::vector<ir::Value*>& values) {
  std::vector<TensorIndex> result;
  for (const ir::Value* value : values) {
    HR_ASSIGN(const TensorIndex index, tensor(value));
    result.push_back(index);
  }
  return result;
}

Result<TensorIndex> PlanBuilder::make_tensor(const ir::Value& value) {
  const Dim size = byte_size(value.dtype(), value.shape());
  switch (value.kind()) {
    case ir::ValueKind::kInput: {
      const auto found = input_index_.find(&value);
      if (found == input_index_.end())
        return internal_error("value '{}' is an input that the graph does not list", value.name());
      InputSpec& spec = plan_.inputs[static_cast<size_t>(found->second)];
      spec.buffer = add_buffer(BufferKind::kInput, size, found->second);
      return add_row_major(value.dtype(), value.shape(), spec.buffer);
    }
    case ir::ValueKind::kLiteral: {
      HR_ASSIGN(Sizes sizes, evaluate(value.shape(), {}));
      plan_.literals.push_back({value.dtype(), std::move(sizes), value.literal()});
      const auto index = static_cast<int32_t>(plan_.literals.size() - 1);
      return add_row_major(value.dtype(), value.shape(), add_buffer(BufferKind::kLiteral, size, index));
    }
    case ir::ValueKind::kState: {
      plan_.states.push_back({value.name(), value.dtype(), value.shape()});
      const auto index = static_cast<int32_t>(plan_.states.size() - 1);
      return add_row_major(value.dtype(), value.shape(), add_buffer(BufferKind::kState, size, index));
    }
    case ir::ValueKind::kWeight:
    case ir::ValueKind::kResult: break;
  }
  if (!is_build_time(value)) return make_result(value);
  // A broadcast at the end is a view: its copies need no place in the engine.
  if (const ir::Node* node = value.producer(); node && node->is("expand")) {
    HR_ASSIGN(const TensorIndex base, tensor(node->input(0)));
    return expand_view(base, value.shape());
  }
  HR_ASSIGN(Weight weight, draft_weight(value));
  return weight_tensor(add_weight(std::move(weight)));
}

TensorIndex PlanBuilder::make_result(const ir::Value& value) {
  const auto found = output_of_.find(&value);
  if (found == output_of_.end()) return add_arena_tensor(value.dtype(), value.shape());
  const BufferIndex buffer =
      add_buffer(BufferKind::kOutput, byte_size(value.dtype(), value.shape()), found->second);
  return add_row_major(value.dtype(), value.shape(), buffer);
}

// --- Steps ---

StepIndex PlanBuilder::add_step(std::string kernel, const ir::Node& node, std::vector<TensorIndex> inputs,
                                std::vector<TensorIndex> outputs, AttributeMap attributes) {
  plan_.steps.push_back(
      {std::move(kernel), node.name(), std::move(inputs), std::move(outputs), std::move(attributes)});
  return static_cast<StepIndex>(plan_.steps.size() - 1);
}

Result<StepIndex> PlanBuilder::add_step(const ir::Node& node) {
  HR_ASSIGN(std::vector<TensorIndex> inputs, tensors(node.inputs()));
  HR_ASSIGN(std::vector<TensorIndex> outputs, tensors(node.outputs()));
  return add_step(std::string(node.op()->name), node, std::move(inputs), std::move(outputs),
                  node.attributes());
}

}  // namespace headrace
