// Rules for expands before element-wise ops, which broadcast by themselves, and for arithmetic on ranges.
#include "passes/simplify.h"

namespace headrace::passes {
namespace {

// What an operand is a repetition of: the input of an expand, or one number for a uniform tensor.
Value* unexpanded(Graph& graph, Value* operand) {
  if (const Node* expand = producer(operand, "expand")) return expand->input(0);
  const bool is_large = operand->rank() > 0;
  const bool is_source = operand->kind() == ir::ValueKind::kLiteral || producer(operand, "fill");
  if (!is_large || !is_source) return operand;
  const auto number = uniform(operand);
  if (!number || (is_integer(operand->dtype()) && std::abs(*number) > 9007199254740992.0)) return operand;
  return add_scalar(graph, operand->name(), operand->dtype(), *number);
}

Result<Shape> broadcast_all(const std::vector<Value*>& values) {
  Shape shape;
  for (const Value* value : values) {
    HR_ASSIGN(shape, headrace::broadcast(std::span<const Dim>(shape), std::span<const Dim>(value->shape())));
  }
  return shape;
}

void erase_unused(Graph& graph, const std::vector<Value*>& values) {
  for (Value* value : values)
    if (value->kind() == ir::ValueKind::kLiteral && value->users().empty() && !value->is_graph_output())
      graph.erase_value(value);
}

std::optional<double> compare_known(const Node& node, const Ramp& range, double with) {
  if (!range.start.is_constant()) return std::nullopt;
  const auto low = static_cast<double>(range.start.constant());
  if (node.is("ge") && low >= with) return 1;
  if (node.is("gt") && low > with) return 1;
  if (node.is("lt") && low >= with) return 0;
  if (node.is("le") && low > with) return 0;
  if (node.is("eq") && low > with) return 0;
  if (node.is("ne") && low > with) return 1;
  return std::nullopt;
}

}  // namespace

// An expand of an operand is dropped where the result keeps its shape; where it does not, the op is done on
// what is smaller and its result expanded.
Result<bool> simplify_broadcast(Graph& graph, Node* node) {
  bool any = false;
  for (const Value* input : node->inputs())
    any |= producer(input, "expand") || (input->rank() > 0 && uniform(input));
  if (!any) return false;
  std::vector<Value*> small;
  for (Value* input : node->inputs()) small.push_back(unexpanded(graph, input));
  if (small == node->inputs()) return false;
  const Shape shape = node->output()->shape();
  auto smaller = broadcast_all(small);
  if (!smaller.ok()) return erase_unused(graph, small), false;
  if (*smaller == shape) {
    const std::vector<Value*> old = node->inputs();
    graph.set_inputs(node, small);
    for (Value* input : old)
      if (input->producer()) erase_dead(graph, input->producer());
    return true;
  }
  const std::string name = node->output()->name();
  HR_ASSIGN(Node * inner, graph.add(node->op(), small, node->attributes(), name, node));
  merge_sources(inner, *node);
  return replaced(replace_with(graph, node, "expand", {inner->output()}, shape_attribute(shape)));
}

// range - range along one axis is one number; a comparison that holds for a whole range is known.
Result<bool> simplify_ranges(Graph& graph, Node* node) {
  if (node->inputs().size() != 2 || !is_integer(node->input(0)->dtype())) return false;
  const auto a = ramp(node->input(0)), b = ramp(node->input(1));
  std::optional<double> number;
  if (node->is("sub") && a && b && a->from_end == b->from_end && a->count == b->count) {
    const Dim difference = a->start - b->start;
    if (difference.is_constant()) number = static_cast<double>(difference.constant());
  } else if (a && node->output()->dtype() == DType::kBool) {
    if (const auto with = uniform(node->input(1))) number = compare_known(*node, *a, *with);
  }
  if (!number) return false;
  const ir::Type type = node->output()->type();
  return replaced(replace_with(graph, node, "fill", {},
                               {{"shape", type.shape}, {"value", *number}, {"dtype", type.dtype}}));
}

}  // namespace headrace::passes
