// fold_constants: nodes of literals alone are evaluated, where the results take at most kLiteralLimit bytes;
// iota and fill of static shape and dim_value of a constant too. Element-wise ops and moves of one uniform
// number are folded to a fill, whatever their size, so masks that turn out to be constant fold for any shape.
#include <algorithm>

#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

int64_t output_bytes(const Node& node) {
  int64_t bytes = 0;
  for (const Value* value : node.outputs()) {
    const Dim count = element_count(std::span<const Dim>(value->shape()));
    if (!count.is_constant() || count.constant() > kLiteralLimit) return kLiteralLimit + 1;
    bytes += count.constant() * dtype_size(value->dtype());
  }
  return bytes;
}

bool is_literal(const Value* value) { return value && value->kind() == ir::ValueKind::kLiteral; }

// Has inputs, and all that are present are literals.
bool takes_literals_only(const Node& node) {
  bool any = false;
  for (const Value* input : node.inputs()) {
    if (input && !is_literal(input)) return false;
    any |= input != nullptr;
  }
  return any;
}

// The numbers of iota, fill and dim_value, which need no evaluator; nullopt for other ops and large or
// dynamic ones.
std::optional<std::vector<double>> generated_numbers(const Node& node) {
  const AttributeMap& at = node.attributes();
  if (node.is("dim_value")) {
    const Dim value = at.get<Dim>("value", Dim(0));
    if (!value.is_constant()) return std::nullopt;
    return std::vector<double>{static_cast<double>(value.constant())};
  }
  if ((!node.is("iota") && !node.is("fill")) || output_bytes(node) > kLiteralLimit) return std::nullopt;
  const auto count =
      static_cast<size_t>(element_count(std::span<const Dim>(node.output()->shape())).constant());
  if (node.is("fill")) return std::vector<double>(count, at.number("value"));
  const Dim start = at.get<Dim>("start", Dim(0));
  if (!start.is_constant()) return std::nullopt;
  std::vector<double> numbers(count);
  for (size_t i = 0; i < count; ++i)
    numbers[i] = static_cast<double>(start.constant() + static_cast<int64_t>(i) * at.integer("step", 1));
  return numbers;
}

// Past 2^53 a double is no longer every integer.
bool exact(double number) { return std::abs(number) <= 9007199254740992.0; }

bool fold_generated(Graph& graph, Node* node) {
  const auto numbers = generated_numbers(*node);
  if (!numbers) return false;
  for (const double number : *numbers)
    if (is_integer(node->output()->dtype()) && !exact(number)) return false;
  const ir::Type type = node->output()->type();
  std::string name = node->output()->name();
  Value* literal = graph.add_literal(name, type, encode(type.dtype, *numbers));
  replace(graph, node, literal);
  graph.rename(literal, std::move(name));
  return true;
}

// add_literal takes any bytes: what an evaluator returns is checked first.
Result<bool> fold_evaluated(Graph& graph, Node* node, const LiteralEvaluator& evaluate) {
  Result<std::vector<std::vector<std::byte>>> results = evaluate(*node);
  if (!results.ok()) {
    // What cannot be evaluated stays a node; a back end says what it thinks of it.
    if (results.status().code() == Code::kUnsupported) return false;
    return results.status().with_context(fmt::format("folding '{}'", node->name()));
  }
  if (results->size() != node->outputs().size())
    return internal_error("folding '{}': {} results for {} outputs", node->name(), results->size(),
                          node->outputs().size());
  for (size_t i = 0; i < results->size(); ++i) {
    Value* old = node->output(i);
    const int64_t want =
        element_count(std::span<const Dim>(old->shape())).constant() * dtype_size(old->dtype());
    if (static_cast<int64_t>((*results)[i].size()) != want)
      return internal_error("folding '{}': result {} has {} bytes, but {} takes {}", node->name(), i,
                            (*results)[i].size(), ir::to_text(old->type()), want);
  }
  std::vector<std::pair<Value*, std::string>> literals;
  for (size_t i = 0; i < results->size(); ++i) {
    Value* old = node->output(i);
    Value* literal = graph.add_literal(old->name(), old->type(), std::move((*results)[i]));
    literals.emplace_back(literal, old->name());
    graph.replace_uses(old, literal);
  }
  erase_dead(graph, node);
  for (auto& [literal, name] : literals) graph.rename(literal, std::move(name));
  return true;
}

// A point-wise op whose operands are all uniform: computed once, then spread by a fill.
Result<bool> fold_uniform(Graph& graph, Node* node, const LiteralEvaluator& evaluate) {
  if (!is_pointwise(*node) || node->inputs().empty() || node->output()->rank() == 0) return false;
  std::vector<Value*> scalars;
  for (Value* input : node->inputs()) {
    const auto number = uniform(input);
    if (!number || (is_integer(input->dtype()) && !exact(*number))) return false;
    scalars.push_back(add_scalar(graph, "scalar", input->dtype(), *number));
  }
  HR_ASSIGN(Node * small, graph.add(node->op(), scalars, node->attributes(), "scalar", node));
  auto results = evaluate(*small);
  graph.erase(small);
  for (Value* scalar : scalars) graph.erase_value(scalar);
  if (!results.ok()) return false;
  const ir::Type type = node->output()->type();
  if (results->size() != 1 || static_cast<int64_t>((*results)[0].size()) != dtype_size(type.dtype))
    return internal_error("folding '{}': the evaluator gave no single element", node->name());
  Value* one = graph.add_literal(node->output()->name(), {type.dtype, {}}, std::move((*results)[0]));
  const auto number = ir::literal_scalar(*one);
  if (!number || (is_integer(type.dtype) && !exact(*number))) return false;
  HR_TRY(replace_with(graph, node, "fill", {},
                      {{"shape", type.shape}, {"value", *number}, {"dtype", type.dtype}})
             .status());
  return true;
}

// The number that the whole result is, where node only moves a uniform tensor about, joins equal ones, or
// sums zeros.
std::optional<double> moved_uniform(const Node& node) {
  const auto is_any = [&](std::initializer_list<std::string_view> ops) {
    return std::any_of(ops.begin(), ops.end(), [&](std::string_view op) { return node.is(op); });
  };
  const Value* x = node.input(0);
  if (is_any({"reshape", "transpose", "expand", "slice", "gather", "index", "gather_elements"})) {
    // An expand of a scalar literal is as good as a fill.
    return x->kind() == ir::ValueKind::kLiteral && x->rank() == 0 ? std::nullopt : uniform(x);
  }
  if (node.is("cumsum")) return is_uniform(x, 0) ? uniform(x) : std::nullopt;
  if (!node.is("concat")) return std::nullopt;
  const auto number = uniform(x);
  for (const Value* part : node.inputs())
    if (!number || uniform(part) != number) return std::nullopt;
  return number;
}

Result<bool> fold_moved_uniform(Graph& graph, Node* node) {
  if (node->inputs().empty() || is_constant(node->output())) return false;
  const auto number = moved_uniform(*node);
  if (!number || (is_integer(node->output()->dtype()) && !exact(*number))) return false;
  const ir::Type type = node->output()->type();
  return replaced(replace_with(graph, node, "fill", {},
                               {{"shape", type.shape}, {"value", *number}, {"dtype", type.dtype}}));
}

Result<bool> fold_node(Graph& graph, Node* node, const LiteralEvaluator& evaluate) {
  if (fold_generated(graph, node)) return true;
  if (evaluate && takes_literals_only(*node) && output_bytes(*node) <= kLiteralLimit)
    return fold_evaluated(graph, node, evaluate);
  if (evaluate) {
    HR_ASSIGN(const bool folded, fold_uniform(graph, node, evaluate));
    if (folded) return true;
  }
  return fold_moved_uniform(graph, node);
}

}  // namespace

Result<bool> fold_constants(Graph& graph, const PassContext& context) {
  bool changed = false;
  for (Node* node : snapshot(graph)) {
    HR_ASSIGN(const bool folded, fold_node(graph, node, context.options.evaluate));
    changed |= folded;
  }
  return changed;
}

}  // namespace headrace::passes
