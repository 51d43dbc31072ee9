// fuse_attention: softmax(scale * q k^T + mask) v, as models write it, becomes attention; then what surrounds
// an attention is taken in: products of q or k with a number (scale), masks said shorter, keys and values
// that are repeated for groups of heads.
#include "passes/attention_mask.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

constexpr int kDepth = 6;  // of logits: casts, mask, scale, product

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

// x of x * number; the product may be taken in a wider float, and x be of the dtype of the result.
struct Multiple {
  Value* x;
  double number;
};

std::optional<Multiple> multiple(const Value* value) {
  const Node* mul = producer(behind_casts(value), "mul");
  if (!mul) return std::nullopt;
  const auto sides = either_order(*mul, [](const Value* side) { return uniform(side).has_value(); });
  if (!sides) return std::nullopt;
  Value* x = sides->second;
  if (x->dtype() != value->dtype() && producer(x, "cast")) x = producer(x, "cast")->input(0);
  const double number = *uniform(sides->first);
  if (x->dtype() != value->dtype() || x->shape() != value->shape()) return std::nullopt;
  if (!std::isfinite(number) || number == 0) return std::nullopt;
  return Multiple{x, number};
}

struct Logits {
  Value *q = nullptr, *k = nullptr;
  bool k_turned = false;  // k is [.., D, T]
  double scale = 1;
  Value* mask = nullptr;
};

std::optional<Logits> match_product(const Value* value) {
  const Node* product = producer(value, "matmul");
  if (!is_plain_product(product)) return std::nullopt;
  Logits logits{product->input(0), product->input(1), !product->attributes().flag("transpose_b")};
  for (Value** side : {&logits.q, &logits.k}) {
    while (const auto found = multiple(*side)) *side = found->x, logits.scale *= found->number;
  }
  return logits;
}

std::optional<Logits> match_logits(const Value* value, bool masks_allowed, int depth);

std::optional<Logits> match_part(const Value* value, int depth) {
  return only_use(value) ? match_logits(value, false, depth) : std::nullopt;
}

// From the outermost op inwards: [mask] then [scale] then the product.
std::optional<Logits> match_logits(const Value* value, bool masks_allowed, int depth) {
  if (depth == 0) return std::nullopt;
  const Value* inner = behind_casts(value);
  const Node* node = inner->producer();
  if (!node || (inner != value && !only_use(inner))) return std::nullopt;
  if (node->is("matmul")) return match_product(inner);
  if (node->is("mul") || node->is("div")) {
    auto number = uniform(node->input(1));
    Value* rest = node->input(0);
    if (!number && node->is("mul")) number = uniform(node->input(0)), rest = node->input(1);
    if (!number || !std::isfinite(*number) || *number == 0) return std::nullopt;
    auto logits = match_part(rest, depth - 1);
    if (logits) logits->scale *= node->is("mul") ? *number : 1 / *number;
    return logits;
  }
  if (!masks_allowed) return std::nullopt;
  if (node->is("add")) {
    for (const size_t side : {size_t{0}, size_t{1}}) {
      auto logits = match_part(node->input(side), depth - 1);
      if (!logits || node->input(side)->shape() != inner->shape()) continue;
      logits->mask = node->input(1 - side);
      return logits;
    }
  }
  // masked_fill(logits, !attend, -inf)
  if (node->is("where") && node->input(1)->shape() == inner->shape()) {
    const auto low = uniform(node->input(2));
    if (!low || !(std::isinf(*low) && *low < 0)) return std::nullopt;
    auto logits = match_part(node->input(1), depth - 1);
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

// Whether `value` says of each row of x whether all its elements are -inf; `negated`: whether not all are.
bool tells_empty_rows(const Value* value, const Value* x, bool negated) {
  const Node* reduce = producer(value, "reduce");
  if (!reduce || reduce->attributes().text("kind") != (negated ? "any" : "all")) return false;
  if (reduce->attributes().integers("axes") != std::vector<int64_t>{x->rank() - 1}) return false;
  const Value* lowest = reduce->input(0);
  if (negated) {
    if (!producer(lowest, "logical_not") || !only_use(lowest)) return false;
    lowest = lowest->producer()->input(0);
  }
  const Node* eq = producer(lowest, "eq");
  return eq && only_use(value) && only_use(lowest) && eq->input(0) == x &&
         is_uniform(eq->input(1), -std::numeric_limits<double>::infinity());
}

// The softmax over the last axis, with or without the choice of 0 for rows that are all -inf (which is what
// attention gives them). Nothing else uses what it is made of.
const Node* match_softmax(const Value* value) {
  if (!only_use(value)) return nullptr;
  size_t users = 1;  // of the softmax's input
  if (const Node* where = producer(value, "where")) {
    const bool negated = is_uniform(where->input(2), 0);
    value = where->input(negated ? 1 : 2);
    const Node* softmax = producer(value, "softmax");
    if (!softmax || !only_use(value) || (!negated && !is_uniform(where->input(1), 0))) return nullptr;
    if (!tells_empty_rows(where->input(0), softmax->input(0), negated)) return nullptr;
    users = 2;
  }
  const Node* softmax = producer(value, "softmax");
  if (!softmax || softmax->attributes().flag("log") ||
      softmax->attributes().integer("axis") != value->rank() - 1)
    return nullptr;
  const Value* x = softmax->input(0);
  return x->users().size() == users && !x->is_graph_output() ? softmax : nullptr;
}

// `node` is the product of the weights with v.
Result<bool> fuse_written_out(Graph& graph, Node* node) {
  if (!is_plain_product(node)) return false;
  const Value* weights = node->input(0);
  const Node* softmax = only_use(weights) ? match_softmax(behind_casts(weights)) : nullptr;
  if (!softmax) return false;
  const auto logits = match_logits(softmax->input(0), true, kDepth);
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
    const auto found = multiple(operand);
    if (!found) continue;
    graph.set_input(node, side, found->x);
    node->attributes().set("scale", node->attributes().number("scale") * found->number);
    erase_dead(graph, operand->producer());
    return true;
  }
  return false;
}

struct Repeated {
  Value* x;
  Shape heads;  // [.., G, T, D]: x is reshaped to it
  Dim times;
};

// Heads each repeated `times`: an expand of [.., G, 1, T, D], reshaped, or an expand of one head.
std::optional<Repeated> repeated_heads(Value* value) {
  if (value->rank() < 3) return std::nullopt;
  const auto head = static_cast<size_t>(value->rank()) - 3;
  if (const Node* expand = producer(value, "expand")) {
    Value* x = expand->input(0);
    Shape one = value->shape();
    one[head] = 1;
    if (x->shape() != one) return std::nullopt;
    return Repeated{x, one, value->shape()[head]};
  }
  const Node* join = producer(value, "reshape");
  const Node* expand = join ? producer(join->input(0), "expand") : nullptr;
  if (!expand || expand->output()->rank() != value->rank() + 1) return std::nullopt;
  const Shape& wide = expand->output()->shape();
  const auto at = static_cast<ptrdiff_t>(head) + 1;  // of the repetition
  Value* x = expand->input(0);
  Shape with_one = wide, heads = wide, joined = wide;
  with_one[head + 1] = 1;
  heads.erase(heads.begin() + at);
  joined.erase(joined.begin() + at);
  joined[head] = joined[head] * wide[head + 1];
  if (x->shape() != with_one || value->shape() != joined) return std::nullopt;
  const Node* split = producer(x, "reshape");
  if (split && split->input(0)->shape() == heads) x = split->input(0);
  return Repeated{x, heads, wide[head + 1]};
}

Result<bool> absorb_repeats(Graph& graph, Node* node) {
  const auto k = repeated_heads(node->input(1)), v = repeated_heads(node->input(2));
  if (!k || !v || !(k->times == v->times) || k->heads.size() != v->heads.size()) return false;
  if (!std::equal(k->heads.begin(), k->heads.end() - 2, v->heads.begin())) return false;
  Node *old_k = node->input(1)->producer(), *old_v = node->input(2)->producer();
  const Builder build{graph, node, stem(node->output()->name())};
  HR_ASSIGN(Value * keys, build.reshape(k->x, k->heads));
  HR_ASSIGN(Value * values, build.reshape(v->x, v->heads));
  graph.set_input(node, 1, keys);
  graph.set_input(node, 2, values);
  HR_TRY(graph.reinfer(node));
  erase_dead(graph, old_k);
  if (old_v != old_k) erase_dead(graph, old_v);
  return true;
}

// The value that `value` is a cast of, where that is of `dtype` and shorter; nullptr where it is none.
Value* cast_from(const Value* value, DType dtype) {
  const Node* cast = producer(value, "cast");
  return cast && cast->input(0)->dtype() == dtype ? cast->input(0) : nullptr;
}

// A cast of an attention of casts to f32: attention of 16-bit floats, which computes in f32 inside. Gives
// that, or nullptr.
Result<Node*> absorb_casts(Graph& graph, Node* back) {
  const DType dtype = back->output()->dtype();
  const Node* wide = producer(back->input(0), "attention");
  if (!wide || !only_use(wide->output()) || wide->output()->dtype() != DType::kF32) return nullptr;
  if (!is_float(dtype) || dtype_size(dtype) != 2) return nullptr;
  std::vector<Value*> inputs = wide->inputs();
  for (Value*& input : inputs) {
    if (!input || input->dtype() == DType::kBool) continue;
    input = cast_from(input, dtype);
    if (!input) return nullptr;
  }
  HR_ASSIGN(const Value* narrow, replace_with(graph, back, "attention", inputs, wide->attributes()));
  return narrow->producer();
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
    Node* attention = node->is("attention") ? node : nullptr;
    if (node->is("cast")) {
      HR_ASSIGN(attention, absorb_casts(graph, node));
      changed |= attention != nullptr;
    }
    if (!attention) continue;
    for (const auto rule : {shorten_mask, absorb_scale, absorb_repeats}) {
      for (bool again = true; again; changed |= again) {
        HR_ASSIGN(again, rule(graph, attention));
      }
    }
  }
  return changed;
}

}  // namespace headrace::passes
