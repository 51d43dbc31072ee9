// fuse_activation: activations written out in small ops become one op.
//
//   x * sigmoid(x)                                          -> silu(x)
//   0.5 * x * (1 + erf(x / sqrt(2)))                        -> gelu(x)
//   0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3))) -> gelu_tanh(x)
#include <algorithm>

#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

bool near(double a, double b) { return std::abs(a - b) <= 1e-3 * std::abs(b); }  // models round constants

// A product taken apart: its factors, and the number that is the product of all its uniform factors.
struct Product {
  double number = 1;
  std::vector<Value*> factors;
};

constexpr int kDepth = 12;  // more than any activation needs

// The value behind casts between floats: a product with a number may be taken in a wider one.
Value* behind_casts(Value* value) {
  for (const Node* cast = producer(value, "cast"); cast && is_float(cast->input(0)->dtype());
       cast = producer(value, "cast"))
    value = cast->input(0);
  return value;
}

void collect(Value* value, Product& product, int depth) {
  value = behind_casts(value);
  if (const auto number = uniform(value)) {
    product.number *= *number;
    return;
  }
  const Node* node = value->producer();
  const bool inner = node && depth > 0 && (depth == kDepth || only_use(value));
  if (inner && node->is("mul") && node->input(0) != node->input(1)) {
    collect(node->input(0), product, depth - 1);
    collect(node->input(1), product, depth - 1);
  } else if (const auto by = inner && node->is("div") ? uniform(node->input(1)) : std::nullopt) {
    product.number /= *by;
    collect(node->input(0), product, depth - 1);
  } else {
    product.factors.push_back(value);
  }
}

Product product_of(Value* value) {
  Product product;
  collect(value, product, kDepth);
  return product;
}

// f(y) of 1 + f(y).
const Node* one_plus(const Value* value, std::string_view function) {
  const Node* add = producer(value, "add");
  if (!add) return nullptr;
  const auto found = either_order(*add, [](const Value* side) { return is_uniform(side, 1); });
  return found ? producer(behind_casts(found->second), function) : nullptr;
}

bool is_cube(Value* value, const Value* x) {
  const Node* pow = producer(value, "pow");
  return pow && behind_casts(pow->input(0)) == x && is_uniform(pow->input(1), 3);
}

// number * x^3, the cube as a power or as a product.
bool is_scaled_cube(Value* value, const Value* x, double number) {
  const Product product = product_of(value);
  if (!near(product.number, number)) return false;
  int power = 0;
  for (Value* factor : product.factors) {
    const Node* square = producer(factor, "mul");
    if (factor == x)
      power += 1;
    else if (square && square->input(0) == square->input(1) && behind_casts(square->input(0)) == x)
      power += 2;
    else if (is_cube(factor, x))
      power += 3;
    else
      return false;
  }
  return power == 3;
}

bool is_erf_gelu(const Node* erf, const Value* x) {
  const Product inside = product_of(erf->input(0));
  return inside.factors == std::vector<Value*>{const_cast<Value*>(x)} && near(inside.number, std::sqrt(0.5));
}

bool is_tanh_gelu(const Node* tanh, const Value* x) {
  const Product inside = product_of(tanh->input(0));
  if (inside.factors.size() != 1 || !near(inside.number, 0.7978845608)) return false;
  const Node* add = producer(inside.factors[0], "add");
  if (!add) return false;
  const auto sides = either_order(*add, [&](Value* side) { return behind_casts(side) == x; });
  return sides && is_scaled_cube(sides->second, x, 0.044715);
}

// The op that `node` writes out, and its operand.
std::optional<std::pair<std::string_view, Value*>> match(const Node& node) {
  if (const auto sides =
          either_order(node, [](const Value* side) { return producer(side, "sigmoid") != nullptr; }))
    if (producer(sides->first, "sigmoid")->input(0) == sides->second) return std::pair{"silu", sides->second};
  const Product product = product_of(node.output());
  if (product.factors.size() != 2 || !near(product.number, 0.5)) return std::nullopt;
  for (const size_t side : {size_t{0}, size_t{1}}) {
    Value *x = product.factors[side], *rest = product.factors[1 - side];
    if (const Node* erf = one_plus(rest, "erf"); erf && is_erf_gelu(erf, x)) return std::pair{"gelu", x};
    if (const Node* tanh = one_plus(rest, "tanh"); tanh && is_tanh_gelu(tanh, x))
      return std::pair{"gelu_tanh", x};
  }
  return std::nullopt;
}

}  // namespace

Result<bool> fuse_activation(Graph& graph, const PassContext&) {
  bool changed = false;
  for (Node* node : snapshot(graph)) {
    if (!node->is("mul") || !is_float(node->output()->dtype()) || is_constant(node->output())) continue;
    const auto found = match(*node);
    if (!found || found->second->shape() != node->output()->shape()) continue;
    const Builder build{graph, node, stem(found->second->name())};
    HR_ASSIGN(Value * x, build.cast(found->second, node->output()->dtype()));
    HR_TRY(replace_with(graph, node, found->first, {x}).status());
    changed = true;
  }
  return changed;
}

}  // namespace headrace::passes
