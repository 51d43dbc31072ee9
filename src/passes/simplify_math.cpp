// Rules for element-wise ops: casts, neutral elements, powers.
#include "passes/simplify.h"

namespace headrace::passes {
namespace {

int mantissa_bits(DType dtype) {  // of floats: with the hidden bit
  switch (dtype) {
    case DType::kF16: return 11;
    case DType::kBF16: return 8;
    case DType::kF32: return 24;
    default: return 53;
  }
}
int exponent_bits(DType dtype) {
  switch (dtype) {
    case DType::kF16: return 5;
    case DType::kBF16:
    case DType::kF32: return 8;
    default: return 11;
  }
}

// Whether each value of `from` is a value of `to`.
bool holds(DType to, DType from) {
  if (to == from || from == DType::kBool) return true;
  if (is_float(from))
    return is_float(to) && mantissa_bits(to) >= mantissa_bits(from) &&
           exponent_bits(to) >= exponent_bits(from);
  const auto bits = static_cast<int>(dtype_size(from) * 8);
  // f16 ends at 65504: any integer of 11 bits or fewer fits all floats here.
  if (is_float(to)) return bits <= mantissa_bits(to);
  if (!is_integer(to)) return false;
  return dtype_size(to) > dtype_size(from);  // u8 fits each wider type, which is signed
}

// The other operand where x op c leaves x as it is; nullptr where it does not.
Value* neutral(const Node& node) {
  const auto is = [](const Value* value, double number) { return is_uniform(value, number); };
  Value *a = node.input(0), *b = node.input(1);
  const bool booleans = node.output()->dtype() == DType::kBool && a->dtype() == DType::kBool;
  if (node.is("mul") && !booleans) return is(b, 1) ? a : is(a, 1) ? b : nullptr;
  if (node.is("add") && !booleans) return is(b, 0) ? a : is(a, 0) ? b : nullptr;
  if (node.is("sub") && !booleans) return is(b, 0) ? a : nullptr;
  if (node.is("div") || node.is("pow")) return is(b, 1) ? a : nullptr;
  if (booleans && (node.is("logical_and") || node.is("bitwise_and") || node.is("mul")))
    return is(b, 1) ? a : is(a, 1) ? b : nullptr;
  if (booleans && (node.is("logical_or") || node.is("bitwise_or") || node.is("add") ||
                   node.is("logical_xor") || node.is("bitwise_xor")))
    return is(b, 0) ? a : is(a, 0) ? b : nullptr;
  return nullptr;
}

// `value` in the place of node, expanded where node was broadcast to more.
Result<bool> replace_expanded(Graph& graph, Node* node, Value* value) {
  if (value->dtype() != node->output()->dtype()) return false;
  if (value->shape() == node->output()->shape()) return replace(graph, node, value), true;
  return replaced(replace_with(graph, node, "expand", {value}, shape_attribute(node->output()->shape())));
}

// and with false, or with true: known for booleans.
Result<bool> absorb(Graph& graph, Node* node) {
  const bool is_and = node->is("logical_and") || node->is("bitwise_and");
  const bool is_or = node->is("logical_or") || node->is("bitwise_or");
  if ((!is_and && !is_or) || node->input(0)->dtype() != DType::kBool) return false;
  const double absorbing = is_or ? 1 : 0;
  for (Value* operand : {node->input(0), node->input(1)})
    if (is_uniform(operand, absorbing)) return replace_expanded(graph, node, operand);
  if (node->input(0) == node->input(1)) return replace_expanded(graph, node, node->input(0));
  return false;
}

Result<bool> simplify_where(Graph& graph, Node* node) {
  const auto condition = uniform(node->input(0));
  if (condition) return replace_expanded(graph, node, node->input(*condition != 0 ? 1 : 2));
  if (node->input(1) == node->input(2)) return replace_expanded(graph, node, node->input(1));
  // where(!c, a, b) is where(c, b, a).
  const Node* negated = producer(node->input(0), "logical_not");
  if (!negated || negated->input(0)->dtype() != DType::kBool) return false;
  return replaced(replace_with(graph, node, "where", {negated->input(0), node->input(2), node->input(1)}));
}

// The exponents that PyTorch's kernel computes by other functions, so that results are the same.
Result<bool> simplify_pow(Graph& graph, Node* node) {
  Value* x = node->input(0);
  if (!is_float(x->dtype()) || x->shape() != node->output()->shape()) return false;
  const auto exponent = uniform(node->input(1));
  if (!exponent) return false;
  if (*exponent == 2) return replaced(replace_with(graph, node, "mul", {x, x}));
  if (*exponent == 0.5) return replaced(replace_with(graph, node, "sqrt", {x}));
  if (*exponent == -0.5) return replaced(replace_with(graph, node, "rsqrt", {x}));
  if (*exponent == -1) return replaced(replace_with(graph, node, "reciprocal", {x}));
  return false;
}

Result<bool> simplify_unary(Graph& graph, Node* node) {
  Value* x = node->input(0);
  for (const std::string_view twice : {"neg", "bitwise_not", "logical_not"}) {
    if (!node->is(twice)) continue;
    const Node* inner = producer(x, twice);
    if (inner && inner->input(0)->dtype() == node->output()->dtype())
      return replace(graph, node, inner->input(0)), true;
  }
  if (node->is("bitwise_not") && x->dtype() == DType::kBool)
    return replaced(replace_with(graph, node, "logical_not", {x}));
  for (const std::string_view once : {"relu", "abs", "floor", "ceil", "round", "trunc"})
    if (node->is(once) && producer(x, once)) return replace(graph, node, x), true;
  return false;
}

// A division by a power of two is a product, exactly; max(x, 0) is relu.
Result<bool> simplify_binary(Graph& graph, Node* node) {
  Value *a = node->input(0), *b = node->input(1);
  const bool floats = is_float(node->output()->dtype());
  if (node->is("div") && floats) {
    const auto by = uniform(b);
    int exponent = 0;
    if (!by || std::abs(std::frexp(*by, &exponent)) != 0.5 || std::abs(exponent) > 12) return false;
    Value* factor = add_scalar(graph, b->name(), b->dtype(), 1 / *by);
    if (a->shape() == node->output()->shape()) return replaced(replace_with(graph, node, "mul", {a, factor}));
    graph.erase_value(factor);
  }
  if (node->is("maximum") && floats) {
    const auto found = either_order(*node, [](Value* value) { return is_uniform(value, 0); });
    if (found && found->second->shape() == node->output()->shape())
      return replaced(replace_with(graph, node, "relu", {found->second}));
  }
  return false;
}

// A function of a 16-bit float, taken in f32 and rounded back: what the function does on 16-bit floats
// anyway.
Result<bool> narrow_function(Graph& graph, Node* node, const Node* function) {
  const DType to = node->output()->dtype();
  if (!is_pointwise(*function) || function->is("cast") || function->inputs().size() != 1) return false;
  const Node* widened = producer(function->input(0), "cast");
  if (!widened || widened->input(0)->dtype() != to || !only_use(function->output())) return false;
  if (!is_float(to) || dtype_size(to) != 2 || function->output()->dtype() != DType::kF32) return false;
  return replaced(
      replace_with(graph, node, function->op()->name, {widened->input(0)}, function->attributes()));
}

}  // namespace

Result<bool> simplify_cast(Graph& graph, Node* node) {
  Value* x = node->input(0);
  const DType to = node->output()->dtype();
  if (x->dtype() == to) return replace(graph, node, x), true;
  if (x->producer()) {
    HR_ASSIGN(const bool narrowed, narrow_function(graph, node, x->producer()));
    if (narrowed) return true;
  }
  const Node* inner = producer(x, "cast");
  if (!inner) return false;
  Value* source = inner->input(0);
  // To bool, any wider type on the way is as good: zero stays zero.
  if (!holds(x->dtype(), source->dtype())) return false;
  if (source->dtype() == to) return replace(graph, node, source), true;
  return replaced(replace_with(graph, node, "cast", {source}, node->attributes()));
}

Result<bool> simplify_math(Graph& graph, Node* node) {
  if (node->inputs().size() == 1) return simplify_unary(graph, node);
  if (node->is("where")) return simplify_where(graph, node);
  if (node->inputs().size() != 2) return false;
  if (Value* same = neutral(*node)) return replace_expanded(graph, node, same);
  HR_ASSIGN(const bool absorbed, absorb(graph, node));
  if (absorbed) return true;
  if (node->is("pow")) return simplify_pow(graph, node);
  return simplify_binary(graph, node);
}

}  // namespace headrace::passes
