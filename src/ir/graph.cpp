#include "ir/graph.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/half.h"

namespace headrace::ir {

Graph::Graph() = default;
Graph::~Graph() = default;

Graph::Graph(Graph&& other) noexcept { *this = std::move(other); }

Graph& Graph::operator=(Graph&& other) noexcept {
  symbols = std::move(other.symbols);
  guards = std::move(other.guards);
  in_spec = std::move(other.in_spec);
  out_spec = std::move(other.out_spec);
  nodes_ = std::move(other.nodes_);
  values_ = std::move(other.values_);
  by_name_ = std::move(other.by_name_);
  name_suffix_ = std::move(other.name_suffix_);
  inputs_ = std::move(other.inputs_);
  outputs_ = std::move(other.outputs_);
  for (auto& value : values_) value->graph_ = this;
  return *this;
}

bool Value::is_graph_output() const {
  return std::any_of(graph_->outputs().begin(), graph_->outputs().end(),
                     [this](const GraphOutput& output) { return output.value == this; });
}

Value* Graph::new_value(ValueKind kind, std::string name, Type type) {
  if (name.empty()) name = "v";
  if (by_name_.contains(name)) {
    int& suffix = name_suffix_[name];
    std::string candidate;
    do {
      candidate = fmt::format("{}.{}", name, ++suffix);
    } while (by_name_.contains(candidate));
    name = std::move(candidate);
  }
  Value* value = values_.emplace_back(std::make_unique<Value>()).get();
  value->kind_ = kind;
  value->name_ = std::move(name);
  value->type_ = std::move(type);
  value->graph_ = this;
  by_name_[value->name_] = value;
  return value;
}

Value* Graph::add_input(std::string name, Type type) {
  Value* value = new_value(ValueKind::kInput, std::move(name), std::move(type));
  inputs_.push_back({GraphInput::Kind::kTensor, value->name(), value, "", ""});
  return value;
}

void Graph::add_number_input(std::string name, std::string symbol) {
  inputs_.push_back({GraphInput::Kind::kNumber, std::move(name), nullptr, std::move(symbol), ""});
}

void Graph::add_constant_input(std::string name, std::string json) {
  inputs_.push_back({GraphInput::Kind::kConstant, std::move(name), nullptr, "", std::move(json)});
}

Value* Graph::add_weight(std::string name, Type type, WeightSource source) {
  Value* value = new_value(ValueKind::kWeight, std::move(name), std::move(type));
  value->weight_ = std::move(source);
  return value;
}

Value* Graph::add_literal(std::string name, Type type, std::vector<std::byte> bytes) {
  Value* value = new_value(ValueKind::kLiteral, std::move(name), std::move(type));
  value->literal_ = std::move(bytes);
  return value;
}

Value* Graph::add_state(std::string name, Type type) {
  return new_value(ValueKind::kState, std::move(name), std::move(type));
}

namespace {

template <class T>
void store(std::vector<std::byte>& bytes, T value) {
  bytes.resize(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
}

template <class T>
std::vector<std::byte> scalar_bytes(DType dtype, T value) {
  std::vector<std::byte> bytes;
  switch (dtype) {
    case DType::kBool: store(bytes, static_cast<uint8_t>(value != T{})); break;
    case DType::kU8: store(bytes, static_cast<uint8_t>(value)); break;
    case DType::kI8: store(bytes, static_cast<int8_t>(value)); break;
    case DType::kI16: store(bytes, static_cast<int16_t>(value)); break;
    case DType::kI32: store(bytes, static_cast<int32_t>(value)); break;
    case DType::kI64: store(bytes, static_cast<int64_t>(value)); break;
    case DType::kF16: store(bytes, float_to_f16(static_cast<float>(value))); break;
    case DType::kBF16: store(bytes, float_to_bf16(static_cast<float>(value))); break;
    case DType::kF32: store(bytes, static_cast<float>(value)); break;
    case DType::kF64: store(bytes, static_cast<double>(value)); break;
  }
  return bytes;
}

}  // namespace

template <class T>
Value* Graph::add_scalar(std::string name, DType dtype, T value) {
  return add_literal(std::move(name), Type{dtype, {}}, scalar_bytes(dtype, value));
}
template Value* Graph::add_scalar<double>(std::string, DType, double);
template Value* Graph::add_scalar<float>(std::string, DType, float);
template Value* Graph::add_scalar<int64_t>(std::string, DType, int64_t);
template Value* Graph::add_scalar<int>(std::string, DType, int);
template Value* Graph::add_scalar<bool>(std::string, DType, bool);

namespace {

Status check_arity(Op op, const Node& node) {
  const auto count = static_cast<int>(node.inputs().size());
  if (count < op->min_inputs || (op->max_inputs >= 0 && count > op->max_inputs)) {
    return invalid_argument("{} '{}': it has {} inputs; the op takes {}", op->name, node.name(), count,
                            op->max_inputs < 0 ? fmt::format("at least {}", op->min_inputs)
                                               : fmt::format("{} to {}", op->min_inputs, op->max_inputs));
  }
  return {};
}

Status check_attributes(Op op, const Node& node) {
  for (const AttributeInfo& row : op->attributes) {
    const Attribute* found = node.attributes().find(row.name);
    if (found == nullptr && row.required) {
      return invalid_argument("{} '{}': attribute '{}' is missing", op->name, node.name(), row.name);
    }
    // AttributeKind lists the alternatives of Attribute in another order than the variant does.
    static constexpr AttributeKind kByIndex[] = {
        AttributeKind::kBool, AttributeKind::kInt,    AttributeKind::kFloat,
        AttributeKind::kText, AttributeKind::kDType,  AttributeKind::kDim,
        AttributeKind::kInts, AttributeKind::kFloats, AttributeKind::kDims};
    if (found != nullptr && kByIndex[found->index()] != row.kind) {
      return invalid_argument("{} '{}': attribute '{}' is {}, of the wrong kind", op->name, node.name(),
                              row.name, attribute_text(*found));
    }
  }
  for (const auto& entry : node.attributes().entries()) {  // clang 14 captures no structured bindings
    const bool known = std::any_of(op->attributes.begin(), op->attributes.end(),
                                   [&](const AttributeInfo& row) { return row.name == entry.first; });
    if (!known) {
      return invalid_argument("{} '{}': it has no attribute '{}'", op->name, node.name(), entry.first);
    }
  }
  return {};
}

// The output types of a node, after the checks that every op shares.
Result<std::vector<Type>> checked_types(const Node& node) {
  const Op op = node.op();
  HR_TRY(check_arity(op, node));
  HR_TRY(check_attributes(op, node));
  return op->infer(node);
}

}  // namespace

Result<Node*> Graph::add(Op op, std::vector<Value*> inputs, AttributeMap attributes, std::string name,
                         Node* before) {
  auto node = std::make_unique<Node>();
  node->op_ = op;
  node->name_ = name.empty() ? std::string(op->name) : std::move(name);
  node->inputs_ = std::move(inputs);
  node->attributes_ = std::move(attributes);
  HR_ASSIGN(std::vector<Type> types, checked_types(*node));
  for (size_t i = 0; i < types.size(); ++i) {
    const std::string suffix = types.size() == 1 ? "" : fmt::format("_{}", i);
    Value* output = new_value(ValueKind::kResult, node->name_ + suffix, std::move(types[i]));
    output->producer_ = node.get();
    output->output_index_ = static_cast<int>(i);
    node->outputs_.push_back(output);
  }
  for (Value* input : node->inputs_) {
    if (input != nullptr) input->users_.push_back(node.get());
  }
  const auto at = before ? before->position_ : nodes_.end();
  Node* added = node.get();
  added->position_ = nodes_.insert(at, std::move(node));
  return added;
}

Result<Value*> Graph::add(std::string_view op_name, std::vector<Value*> inputs, AttributeMap attributes,
                          std::string name, Node* before) {
  const Op op = find_op(op_name);
  if (op == nullptr) return internal_error("there is no op '{}'", op_name);
  HR_ASSIGN(Node* const node, add(op, std::move(inputs), std::move(attributes), std::move(name), before));
  return node->output();
}

Status Graph::reinfer(Node* node) {
  HR_ASSIGN(std::vector<Type> types, checked_types(*node));
  if (types.size() != node->outputs_.size()) {
    return internal_error("{} '{}': its number of outputs changed from {} to {}", node->op()->name,
                          node->name(), node->outputs_.size(), types.size());
  }
  for (size_t i = 0; i < types.size(); ++i) node->outputs_[i]->type_ = std::move(types[i]);
  return {};
}

namespace {
void remove_one(std::vector<Node*>& users, Node* node) {
  const auto at = std::find(users.begin(), users.end(), node);
  if (at != users.end()) users.erase(at);
}
}  // namespace

void Graph::set_input(Node* node, size_t index, Value* value) {
  Value*& slot = node->inputs_[index];
  if (slot != nullptr) remove_one(slot->users_, node);
  slot = value;
  if (value != nullptr) value->users_.push_back(node);
}

void Graph::set_inputs(Node* node, std::vector<Value*> values) {
  for (Value* old : node->inputs_) {
    if (old != nullptr) remove_one(old->users_, node);
  }
  node->inputs_ = std::move(values);
  for (Value* input : node->inputs_) {
    if (input != nullptr) input->users_.push_back(node);
  }
}

void Graph::replace_uses(Value* from, Value* to) {
  if (from == to) return;
  for (Node* user : from->users_) {
    std::replace(user->inputs_.begin(), user->inputs_.end(), from, to);
    to->users_.push_back(user);
  }
  from->users_.clear();
  for (GraphOutput& output : outputs_) {
    if (output.value == from) output.value = to;
  }
}

void Graph::erase(Node* node) {
  set_inputs(node, {});
  const std::vector<Value*> outputs = node->outputs_;
  nodes_.erase(std::list<std::unique_ptr<Node>>::iterator(node->position_));
  for (Value* output : outputs) {
    output->producer_ = nullptr;
    erase_value(output);
  }
}

void Graph::erase_value(Value* value) {
  by_name_.erase(value->name_);
  values_.remove_if([&](const auto& owned) { return owned.get() == value; });
}

void Graph::rename(Value* value, std::string name) {
  if (value->name_ == name) return;
  by_name_.erase(value->name_);
  std::string taken = name;
  int& suffix = name_suffix_[name];
  while (by_name_.contains(taken)) taken = fmt::format("{}.{}", name, ++suffix);
  value->name_ = std::move(taken);
  by_name_[value->name_] = value;
}

void Graph::move_before(Node* node, Node* position) {
  nodes_.splice(position->position_, nodes_, node->position_);
}

bool Graph::precedes(const Node* a, const Node* b) const {
  for (auto at = std::next(std::list<std::unique_ptr<Node>>::const_iterator(a->position_));
       at != nodes_.end(); ++at) {
    if (at->get() == b) return true;
  }
  return false;
}

namespace {
std::vector<Value*> of_kind(const std::list<std::unique_ptr<Value>>& values, ValueKind kind) {
  std::vector<Value*> found;
  for (const auto& value : values) {
    if (value->kind() == kind) found.push_back(value.get());
  }
  return found;
}
}  // namespace

std::vector<Value*> Graph::weights() const { return of_kind(values_, ValueKind::kWeight); }
std::vector<Value*> Graph::literals() const { return of_kind(values_, ValueKind::kLiteral); }
std::vector<Value*> Graph::states() const { return of_kind(values_, ValueKind::kState); }

Value* Graph::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

void Graph::add_output(Value* value, std::string name) {
  outputs_.push_back({value, std::nullopt, std::move(name)});
}
void Graph::add_number_output(Dim number, std::string name) {
  outputs_.push_back({nullptr, std::move(number), std::move(name)});
}
void Graph::add_none_output(std::string name) {
  outputs_.push_back({nullptr, std::nullopt, std::move(name)});
}
void Graph::set_output(size_t index, Value* value) { outputs_[index].value = value; }

Graph Graph::clone() const {
  Graph copy;
  copy.symbols = symbols;
  copy.guards = guards;
  copy.in_spec = in_spec;
  copy.out_spec = out_spec;
  copy.name_suffix_ = name_suffix_;
  std::map<const Value*, Value*> values;
  std::map<const Node*, Node*> nodes;
  for (const auto& node : nodes_) {
    Node* twin = copy.nodes_.emplace_back(std::make_unique<Node>(*node)).get();
    twin->position_ = std::prev(copy.nodes_.end());
    nodes[node.get()] = twin;
  }
  for (const auto& value : values_) {
    Value* twin = copy.values_.emplace_back(std::make_unique<Value>(*value)).get();
    twin->graph_ = &copy;
    if (twin->producer_ != nullptr) twin->producer_ = nodes.at(twin->producer_);
    for (Node*& user : twin->users_) user = nodes.at(user);
    copy.by_name_[twin->name_] = twin;
    values[value.get()] = twin;
  }
  for (const auto& node : copy.nodes_) {
    for (Value*& input : node->inputs_) {
      if (input != nullptr) input = values.at(input);
    }
    for (Value*& output : node->outputs_) output = values.at(output);
  }
  copy.inputs_ = inputs_;
  for (GraphInput& input : copy.inputs_) {
    if (input.value != nullptr) input.value = values.at(input.value);
  }
  copy.outputs_ = outputs_;
  for (GraphOutput& output : copy.outputs_) {
    if (output.value != nullptr) output.value = values.at(output.value);
  }
  return copy;
}

}  // namespace headrace::ir
