// fuse_attention: softmax(scale * q k^T + mask) v, as models write it, becomes attention; then what surrounds
// an attention is taken in: products of q or k with a number (scale), masks said shorter, keys and values
// that are repeated for groups of heads.
#include "passes/attention_mask.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

struct Logits {
  Value *q = nullptr, *k = nullptr;
  bool k_turned = false;  // k is [.., D, T]
  double scale = 1;
  Value* mask = nullptr;
};

bool is_plain_product(const Node* node) {
  return node && !node->input(2) && !node->input(3) && node->attributes().text("epilogue").empty();
}

// The value behind casts between floats: models compute softmax, and scale by numbers, in a wider float.
const Value* behind_casts(const Value* value) {
  const Node* cast = producer(value, "cast");
  while (cast && is_float(cast->input(0)->dtype()) && only_use(value)) {
    value = cast->input(0);
    cast = producer(value, "cast");
  }
  return value;
}

std::optional<Logits> match_product(const Value* value) {
  const Node* product = producer(value, "matmul");
  if (!is_plain_product(product) || !only_use(value)) return std::nullopt;
  return Logits{product->input(0), product->input(1), !product->attributes().flag("transpose_b")};
}

// From the outermost op inwards: [mask] then [scale] then the product.
std::optional<Logits> match_logits(const Value* value, bool masks_allowed, int depth = 6) {
  if (!only_use(value) || depth == 0) return std::nullopt;
  const Value* inner = behind_casts(value);
  const Node* node = inner->producer();
  if (!node || !only_use(inner)) return std::nullopt;
  if (node->is("matmul")) return match_product(inner);
  if (node->is("mul") || node->is("div")) {
    auto number = uniform(node->input(1));
    Value* rest = node->input(0);
    if (!number && node->is("mul")) number = uniform(node->input(0)), rest = node->input(1);
    if (!number || !std::isfinite(*number) || *number == 0) return std::nullopt;
    auto logits = match_logits(rest, false, depth - 1);
    if (logits) logits->scale *= node->is("mul") ? *number : 1 / *number;
    return logits;
  }
  if (!masks_allowed) return std::nullopt;
  if (node->is("add")) {
    for (const size_t side : {size_t{0}, size_t{1}}) {
      auto logits = match_logits(node->input(side), false, depth - 1);
      if (!logits || node->input(side)->shape() != inner->shape()) continue;
      logits->mask = node->input(1 - side);
      return logits;
    }
  }
  // masked_fill(logits, !attend, -inf)
  if (node->is("where") && node->input(1)->shape() == inner->shape()) {
    const auto low = uniform(node->input(2));
    if (!low || !(std::isinf(*low) && *low < 0)) return std::nullopt;
    auto logits = match_logits(node->input(1), false, depth - 1);
    if (logits) logits->mask = node->input(0);
    return logits;
  }
  return std::nullopt;
}

bool same_leading(const Value& a, const Value& b, size_t trailing) {
  if (a.rank() != b.rank() || a.rank() < static_cast<int64_t>(trailing) + 1) return false;
  const auto count = static_cast<ptrdiff_t>(static_cast<size_t>(a.rank()) - trailing);
  return std::equal(a.shape().begin(), a.shape().begin() + count, b.shape().begin());
}

Result<Value*> turned(Graph& graph, Node* position, Value* value) {
  Node* turn = producer(value, "transpose");
  if (turn && swaps_last_two(turn->attributes().integers("perm"))) return turn->input(0);
  return graph.add("transpose", {value}, perm_attribute(swap_last_two(value->rank())), stem(value->name()),
                   position);
}

// `node` is the product of the weights with v.
Result<bool> fuse_written_out(Graph& graph, Node* node) {
  if (!is_plain_product(node)) return false;
  const Value* weights = node->input(0);
  if (!only_use(weights)) return false;
  const Node* softmax = producer(behind_casts(weights), "softmax");
  if (!softmax || softmax->attributes().flag("log") || !only_use(softmax->output())) return false;
  if (softmax->attributes().integer("axis") != weights->rank() - 1) return false;
  const auto logits = match_logits(softmax->input(0), true);
  Value* v = node->input(1);
  if (!logits || !same_leading(*logits->q, *logits->k, 2) || !same_leading(*logits->q, *v, 2)) return false;
  const DType dtype = logits->q->dtype();
  if (v->dtype() != dtype || node->output()->dtype() != dtype || dtype == DType::kF64) return false;
  if (logits->mask) {
    const bool fits = logits->mask->dtype() == DType::kBool || logits->mask->dtype() == dtype;
    if (!fits || !broadcasts_to(logits->mask->shape(), weights->shape())) return false;
  }
  Value* k = logits->k;
  if (logits->k_turned) {
    HR_ASSIGN(k, turned(graph, node, k));
  }
  if (node->attributes().flag("transpose_b")) {
    HR_ASSIGN(v, turned(graph, node, v));
  }
  std::vector<Value*> inputs = {logits->q, k, v};
  if (logits->mask) inputs.push_back(logits->mask);
  return replaced(
      replace_with(graph, node, "attention", inputs, {{"scale", logits->scale}, {"causal", false}}));
}

Result<bool> shorten_mask(Graph& graph, Node* node) {
  const auto mask = shorter_mask({node->input(3), node->attributes().flag("causal")});
  if (!mask) return false;
  Value* old = node->input(3);
  std::vector<Value*> inputs = node->inputs();
  inputs.resize(3);
  if (mask->value) inputs.push_back(mask->value);
  graph.set_inputs(node, inputs);
  node->attributes().set("causal", mask->causal);
  if (old->producer()) erase_dead(graph, old->producer());
  HR_TRY(graph.reinfer(node));
  return true;
}

// q * number, or k * number: into the scale.
Result<bool> absorb_scale(Graph& graph, Node* node) {
  for (const size_t side : {size_t{0}, size_t{1}}) {
    const Value* operand = node->input(side);
    const Value* product = behind_casts(operand);
    const Node* mul = producer(product, "mul");
    if (!mul || !only_use(product)) continue;
    const auto sides = either_order(*mul, [](const Value* value) { return uniform(value).has_value(); });
    if (!sides) continue;
    Value* x = sides->second;
    if (x->dtype() != operand->dtype() && producer(x, "cast")) x = producer(x, "cast")->input(0);
    if (x->dtype() != operand->dtype() || x->shape() != operand->shape()) continue;
    const double number = *uniform(sides->first);
    if (!std::isfinite(number) || number == 0) continue;
    graph.set_input(node, side, x);
    node->attributes().set("scale", node->attributes().number("scale") * number);
    erase_dead(graph, operand->producer());
    return true;
  }
  return false;
}

struct Repeated {
  Value* heads;  // [.., G, T, D]
  Dim times;
};

// Heads each repeated `times`: reshape(expand(reshape(x))) by way of [.., G, times, T, D], or an expand of
// one head.
std::optional<Repeated> repeated_heads(Value* value) {
  const auto head = static_cast<ptrdiff_t>(value->rank()) - 3;
  if (const Node* expand = producer(value, "expand")) {
    Value* x = expand->input(0);
    if (head < 0 || x->rank() != value->rank() || !is_one(x->shape()[static_cast<size_t>(head)]))
      return std::nullopt;
    Shape wanted = x->shape();
    wanted[static_cast<size_t>(head)] = value->shape()[static_cast<size_t>(head)];
    if (wanted != value->shape()) return std::nullopt;
    return Repeated{x, value->shape()[static_cast<size_t>(head)]};
  }
  const Node* join = producer(value, "reshape");
  const Node* expand = join ? producer(join->input(0), "expand") : nullptr;
  const Node* split = expand ? producer(expand->input(0), "reshape") : nullptr;
  if (!split || head < 0 || split->input(0)->rank() != value->rank()) return std::nullopt;
  Value* x = split->input(0);
  const Shape& wide = expand->output()->shape();
  if (wide.size() != x->shape().size() + 1) return std::nullopt;
  const Dim times = wide[static_cast<size_t>(head) + 1];
  Shape with_one = x->shape(), with_times = x->shape(), joined = x->shape();
  with_one.insert(with_one.begin() + head + 1, Dim(1));
  with_times.insert(with_times.begin() + head + 1, times);
  joined[static_cast<size_t>(head)] = joined[static_cast<size_t>(head)] * times;
  if (split->output()->shape() != with_one || wide != with_times || value->shape() != joined)
    return std::nullopt;
  return Repeated{x, times};
}

Result<bool> absorb_repeats(Graph& graph, Node* node) {
  const auto k = repeated_heads(node->input(1)), v = repeated_heads(node->input(2));
  if (!k || !v || !(k->times == v->times) || !same_leading(*k->heads, *v->heads, 2)) return false;
  Node *old_k = node->input(1)->producer(), *old_v = node->input(2)->producer();
  graph.set_input(node, 1, k->heads);
  graph.set_input(node, 2, v->heads);
  HR_TRY(graph.reinfer(node));
  erase_dead(graph, old_k);
  if (old_v != old_k) erase_dead(graph, old_v);
  return true;
}

}  // namespace

Result<bool> fuse_attention(Graph& graph, const PassContext& context) {
  bool changed = false;
  if (context.options.preferences.fuse_attention) {
    for (Node* node : snapshot(graph)) {
      if (!node->is("matmul")) continue;
      HR_ASSIGN(const bool fused, fuse_written_out(graph, node));
      changed |= fused;
    }
  }
  for (Node* node : snapshot(graph)) {
    if (!node->is("attention")) continue;
    for (const auto rule : {shorten_mask, absorb_scale, absorb_repeats}) {
      for (bool again = true; again; changed |= again) {
        HR_ASSIGN(again, rule(graph, node));
      }
    }
  }
  return changed;
}

}  // namespace headrace::passes
