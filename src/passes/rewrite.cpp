#include "passes/rewrite.h"

#include <algorithm>
#include <cstring>

#include "core/half.h"

namespace headrace::passes {

Node* producer(const Value* value, std::string_view op) {
  Node* node = value ? value->producer() : nullptr;
  return node && node->is(op) ? node : nullptr;
}

bool is_pointwise(const Node& node) { return node.op()->pointwise != nullptr; }

bool only_use(const Value* value) { return value && value->users().size() == 1 && !value->is_graph_output(); }

bool is_constant(const Value* value) {
  return value && (value->kind() == ir::ValueKind::kLiteral || value->kind() == ir::ValueKind::kWeight ||
                   ir::is_weight_only(*value));
}

bool is_one(const Dim& dim) { return dim.is_constant() && dim.constant() == 1; }

bool is_static(const Value& value) { return headrace::is_static(std::span<const Dim>(value.shape())); }

Shape padded(const Shape& shape, size_t rank) {
  Shape result(rank > shape.size() ? rank - shape.size() : 0, Dim(1));
  result.insert(result.end(), shape.begin(), shape.end());
  return result;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.size() > to.size()) return false;
  const Shape full = padded(from, to.size());
  for (size_t i = 0; i < to.size(); ++i)
    if (!(full[i] == to[i]) && !is_one(full[i])) return false;
  return true;
}

namespace {

std::optional<double> uniform_literal(const Value& value) {
  const auto numbers = ir::literal_numbers(value);
  if (!numbers || numbers->empty()) return std::nullopt;
  // By value: a NaN equals nothing, so it is uniform only when alone.
  for (const double number : *numbers)
    if (!(number == numbers->front()) && numbers->size() > 1) return std::nullopt;
  // 0 == -0, yet they are not one number.
  for (const double number : *numbers)
    if (std::signbit(number) != std::signbit(numbers->front())) return std::nullopt;
  return numbers->front();
}

}  // namespace

std::optional<double> uniform(const Value* value) {
  while (value) {
    if (value->kind() == ir::ValueKind::kLiteral) return uniform_literal(*value);
    const Node* node = value->producer();
    if (!node) return std::nullopt;
    if (node->is("fill")) {
      const double number = node->attributes().number("value");
      if (value->dtype() == DType::kBool) return number != 0 ? 1.0 : 0.0;
      // A fill rounds its number to its dtype; only numbers that survive are told.
      return std::isnan(number) || value->dtype() == DType::kF64 || value->dtype() == DType::kF32 ||
                     number == std::trunc(number)
                 ? std::optional<double>(value->dtype() == DType::kF32 ? static_cast<float>(number) : number)
                 : std::nullopt;
    }
    if (!node->is("expand") && !node->is("reshape") && !node->is("slice") && !node->is("transpose"))
      return std::nullopt;
    value = node->input(0);
  }
  return std::nullopt;
}

bool is_uniform(const Value* value, double number) {
  const auto found = uniform(value);
  return found && *found == number;
}

namespace {

std::optional<Ramp> literal_ramp(const Value& value) {
  const auto numbers = ir::literal_numbers(value);
  if (!numbers || numbers->size() < 2) return std::nullopt;
  const auto sizes = evaluate(std::span<const Dim>(value.shape()), {});
  if (!sizes.ok()) return std::nullopt;
  const Sizes strides = row_major_strides(std::span<const int64_t>(*sizes));
  for (size_t axis = 0; axis < sizes->size(); ++axis) {
    bool fits = (*sizes)[axis] > 1;
    for (size_t i = 0; fits && i < numbers->size(); ++i) {
      const int64_t along = static_cast<int64_t>(i) / strides[axis] % (*sizes)[axis];
      fits = (*numbers)[i] == (*numbers)[0] + static_cast<double>(along);
    }
    if (fits)
      return Ramp{value.rank() - 1 - static_cast<int64_t>(axis), Dim(static_cast<int64_t>((*numbers)[0])),
                  Dim((*sizes)[axis])};
  }
  return std::nullopt;
}

// The ramp seen through a reshape that only adds or removes dims of size 1.
std::optional<Ramp> reshaped_ramp(const Ramp& in, const Shape& from, const Shape& to) {
  Shape kept_from, kept_to;
  std::copy_if(from.begin(), from.end(), std::back_inserter(kept_from), [](auto& d) { return !is_one(d); });
  std::copy_if(to.begin(), to.end(), std::back_inserter(kept_to), [](auto& d) { return !is_one(d); });
  if (kept_from != kept_to || is_one(in.count)) return std::nullopt;
  const auto is_kept = [](const Dim& d) { return !is_one(d); };
  const auto tail = std::count_if(from.end() - in.from_end, from.end(), is_kept);  // kept dims behind it
  Ramp out = in;
  int64_t seen = 0;
  for (out.from_end = 0; out.from_end < static_cast<int64_t>(to.size()); ++out.from_end) {
    if (is_one(to[to.size() - 1 - static_cast<size_t>(out.from_end)])) continue;
    if (seen++ == tail) return out;
  }
  return std::nullopt;
}

std::optional<Ramp> ramp_of_node(const Node& node, int depth);

}  // namespace

std::optional<Ramp> ramp(const Value* value, int depth) {
  if (!value || depth == 0 || !is_integer(value->dtype())) return std::nullopt;
  if (value->kind() == ir::ValueKind::kLiteral) return literal_ramp(*value);
  return value->producer() ? ramp_of_node(*value->producer(), depth - 1) : std::nullopt;
}

namespace {

// Neighbouring ranges, joined along their axis.
std::optional<Ramp> ramp_of_concat(const Node& concat, int depth) {
  std::optional<Ramp> joined;
  for (const Value* part : concat.inputs()) {
    const auto next = ramp(part, depth);
    const int64_t axis = concat.output()->rank() - 1 - concat.attributes().integer("axis");
    if (!next || next->from_end != axis) return std::nullopt;
    if (joined && !(joined->start + joined->count == next->start)) return std::nullopt;
    if (joined)
      joined->count = joined->count + next->count;
    else
      joined = next;
  }
  return joined;
}

std::optional<Ramp> ramp_of_node(const Node& node, int depth) {
  const AttributeMap& at = node.attributes();
  if (node.is("iota")) {
    if (at.integer("step", 1) != 1) return std::nullopt;
    return Ramp{0, at.get<Dim>("start", Dim(0)), at.get<Dim>("count", Dim(0))};
  }
  if (node.is("concat")) return ramp_of_concat(node, depth);
  if (node.is("add") || node.is("sub")) {
    const size_t side = node.is("add") && uniform(node.input(0)) ? 1 : 0;  // of the ramp
    const auto by = uniform(node.input(1 - side));
    auto in = by ? ramp(node.input(side), depth) : std::nullopt;
    if (!in) return std::nullopt;
    const Dim shift(static_cast<int64_t>(*by));
    in->start = node.is("add") ? in->start + shift : in->start - shift;
    return in;
  }
  if (!node.is("reshape") && !node.is("expand") && !node.is("slice") && !node.is("cast")) return std::nullopt;
  auto in = ramp(node.input(0), depth);
  if (!in) return std::nullopt;
  if (node.is("reshape")) return reshaped_ramp(*in, node.input(0)->shape(), node.output()->shape());
  if (node.is("slice") && node.input(0)->rank() - 1 - at.integer("axis") == in->from_end) {
    if (at.integer("step", 1) != 1) return std::nullopt;
    const Dim start = at.get<Dim>("start", Dim(0));
    return Ramp{in->from_end, in->start + start, at.get<Dim>("stop", Dim(0)) - start};
  }
  if (node.is("cast") && node.output()->dtype() != DType::kI32 && node.output()->dtype() != DType::kI64)
    return std::nullopt;
  return in;  // expand keeps axes as counted from the end
}

template <class T>
void put(std::vector<std::byte>& out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

template <class T>
T to_integer(double number) {
  if (std::isnan(number)) return 0;
  if (number <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (number >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(number);
}

}  // namespace

std::vector<std::byte> encode(DType dtype, std::span<const double> numbers) {
  std::vector<std::byte> out;
  out.reserve(numbers.size() * static_cast<size_t>(dtype_size(dtype)));
  for (const double number : numbers) {
    switch (dtype) {
      case DType::kBool: put<uint8_t>(out, number != 0); break;
      case DType::kU8: put(out, to_integer<uint8_t>(number)); break;
      case DType::kI8: put(out, to_integer<int8_t>(number)); break;
      case DType::kI16: put(out, to_integer<int16_t>(number)); break;
      case DType::kI32: put(out, to_integer<int32_t>(number)); break;
      case DType::kI64: put(out, to_integer<int64_t>(number)); break;
      case DType::kF16: put(out, float_to_f16(static_cast<float>(number))); break;
      case DType::kBF16: put(out, float_to_bf16(static_cast<float>(number))); break;
      case DType::kF32: put(out, static_cast<float>(number)); break;
      case DType::kF64: put(out, number); break;
    }
  }
  return out;
}

Value* add_scalar(Graph& graph, std::string name, DType dtype, double number) {
  return graph.add_literal(std::move(name), {dtype, {}}, encode(dtype, std::span(&number, 1)));
}

std::vector<Node*> snapshot(const Graph& graph) {
  std::vector<Node*> nodes;
  nodes.reserve(graph.nodes().size());
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  return nodes;
}

void erase_dead(Graph& graph, Node* node) {
  std::vector<Node*> pending = {node};
  while (!pending.empty()) {
    Node* dead = pending.back();
    pending.pop_back();
    const bool used = std::any_of(dead->outputs().begin(), dead->outputs().end(), [](const Value* value) {
      return !value->users().empty() || value->is_graph_output();
    });
    if (used) continue;
    std::vector<Node*> producers;
    for (const Value* input : dead->inputs())
      if (input && input->producer()) producers.push_back(input->producer());
    graph.erase(dead);
    std::sort(producers.begin(), producers.end());
    producers.erase(std::unique(producers.begin(), producers.end()), producers.end());
    // A node may be pending already, by another of its users: take it once.
    for (Node* producer : producers)
      if (std::find(pending.begin(), pending.end(), producer) == pending.end()) pending.push_back(producer);
  }
}

void merge_sources(Node* into, const Node& from) {
  if (into == &from) return;
  for (const ir::SourceNote& note : from.sources()) {
    const bool known = std::any_of(into->sources().begin(), into->sources().end(), [&](auto& other) {
      return other.name == note.name && other.location == note.location;
    });
    if (!known) into->sources().push_back(note);
  }
}

void replace(Graph& graph, Node* node, Value* by) {
  if (by->producer() && is_pointwise(*node) && by->producer() != node) merge_sources(by->producer(), *node);
  graph.replace_uses(node->output(), by);
  erase_dead(graph, node);
}

Result<Value*> replace_with(Graph& graph, Node* node, std::string_view op, std::vector<Value*> inputs,
                            AttributeMap attributes) {
  std::string name = node->output()->name();
  HR_ASSIGN(Value * by, graph.add(op, std::move(inputs), std::move(attributes), name, node));
  merge_sources(by->producer(), *node);
  graph.replace_uses(node->output(), by);
  erase_dead(graph, node);
  graph.rename(by, std::move(name));
  return by;
}

std::string stem(const std::string& name) {
  size_t end = name.size();
  while (true) {
    const size_t digits = name.find_last_not_of("0123456789", end - 1);
    if (digits == std::string::npos || digits == 0 || digits + 1 == end || name[digits] != '.') break;
    end = digits;
  }
  return name.substr(0, end);
}

void hoist(Graph& graph, Value* value, Node* position) {
  Node* node = value ? value->producer() : nullptr;
  if (!node || !graph.precedes(position, node)) return;
  for (Value* input : node->inputs()) hoist(graph, input, position);
  graph.move_before(node, position);
}

bool swaps_last_two(const std::vector<int64_t>& perm) {
  return perm.size() >= 2 && perm == swap_last_two(static_cast<int64_t>(perm.size()));
}

std::vector<int64_t> swap_last_two(int64_t rank) {
  std::vector<int64_t> perm(static_cast<size_t>(rank));
  for (int64_t i = 0; i < rank; ++i) perm[static_cast<size_t>(i)] = i;
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return perm;
}

Result<Value*> Builder::cast(Value* value, DType dtype) const {
  if (value->dtype() == dtype) return value;
  return (*this)("cast", {value}, dtype_attribute(dtype));
}

Result<Value*> Builder::reshape(Value* value, const Shape& shape) const {
  if (value->shape() == shape) return value;
  return (*this)("reshape", {value}, shape_attribute(shape));
}

}  // namespace headrace::passes
