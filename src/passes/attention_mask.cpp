#include "passes/attention_mask.h"

namespace headrace::passes {
namespace {

// As low as models write "minus infinity" in numbers: the lowest f16 is -65504, so a sum with a logit stays
// far below every other.
constexpr double kVeryLow = -1e4;

// Visits a literal of shape [.., S, T]: whether `is` holds for each (i, j, number).
template <class Is>
bool all_of_literal(const Value* value, Is is) {
  if (!value || value->kind() != ir::ValueKind::kLiteral || value->rank() < 2) return false;
  const auto numbers = ir::literal_numbers(*value);
  const auto sizes = evaluate(std::span<const Dim>(value->shape()), {});
  if (!numbers || !sizes.ok() || numbers->empty()) return false;
  const int64_t s = (*sizes)[sizes->size() - 2], t = sizes->back();
  if (s < 2 || t < 2) return false;  // one row or column is broadcast: it says nothing of i or j
  for (size_t n = 0; n < numbers->size(); ++n) {
    const int64_t j = static_cast<int64_t>(n) % t, i = static_cast<int64_t>(n) / t % s;
    if (!is(i, j, (*numbers)[n])) return false;
  }
  return true;
}

bool is_causal_literal(const Value* mask) {
  return all_of_literal(mask, [](int64_t i, int64_t j, double number) { return (number != 0) == (j <= i); });
}

// 0 where j <= i, very low or -inf elsewhere.
bool is_causal_sum(const Value* mask) {
  return all_of_literal(
      mask, [](int64_t i, int64_t j, double number) { return j <= i ? number == 0 : number <= kVeryLow; });
}

bool is_and(const Node* node) {
  return node && (node->is("logical_and") || node->is("bitwise_and")) &&
         node->output()->dtype() == DType::kBool;
}

// le(keys, queries) of two ranges that start alike, keys along the last axis, queries along the one before.
bool compares_positions(const Node& node) {
  const bool le = node.is("le"), ge = node.is("ge");
  if (!le && !ge) return false;
  const auto keys = ramp(node.input(le ? 0 : 1)), queries = ramp(node.input(le ? 1 : 0));
  return keys && queries && keys->from_end == 0 && queries->from_end == 1 && keys->start == queries->start;
}

}  // namespace

bool is_causal(const Value* mask) {
  if (!mask || mask->dtype() != DType::kBool) return false;
  if (is_causal_literal(mask)) return true;
  const Node* node = mask->producer();
  if (!node) return false;
  if (node->is("expand") && node->input(0)->rank() >= 2) return is_causal(node->input(0));
  return compares_positions(*node);
}

namespace {

std::optional<Mask> shorter_bool(Mask mask) {
  if (is_uniform(mask.value, 1)) return Mask{nullptr, mask.causal};
  if (is_causal(mask.value)) return Mask{nullptr, true};
  const Node* node = mask.value->producer();
  if (!is_and(node)) return std::nullopt;
  for (const size_t side : {size_t{0}, size_t{1}})
    if (is_causal(node->input(side))) return Mask{node->input(1 - side), true};
  return std::nullopt;
}

std::optional<Mask> shorter_sum(Mask mask) {
  if (is_uniform(mask.value, 0)) return Mask{nullptr, mask.causal};
  if (is_causal_sum(mask.value)) return Mask{nullptr, true};
  const Node* where = producer(mask.value, "where");
  if (!where || !is_uniform(where->input(1), 0)) return std::nullopt;
  const auto other = uniform(where->input(2));
  if (!other) return std::nullopt;
  // A row that attends to nothing is 0 in attention; after a finite number it is a mean of all values, so
  // such a mask is only taken as causal, where each row attends to itself.
  if (std::isinf(*other) && *other < 0) return Mask{where->input(0), mask.causal};
  if (*other <= kVeryLow && is_causal(where->input(0)) && !mask.causal) return Mask{nullptr, true};
  return std::nullopt;
}

}  // namespace

std::optional<Mask> shorter_mask(Mask mask) {
  if (!mask.value) return std::nullopt;
  if (const Node* expand = producer(mask.value, "expand")) return Mask{expand->input(0), mask.causal};
  return mask.value->dtype() == DType::kBool ? shorter_bool(mask) : shorter_sum(mask);
}

}  // namespace headrace::passes
