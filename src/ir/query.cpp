// Questions about a graph's values.
#include "core/element.h"
#include "ir/graph.h"

namespace headrace::ir {
namespace {

// Whether a value comes from weights and literals alone; sets `weight` where one of them is a weight. Recipes
// are short, but a hand-made graph may be deep and share nodes: the walk is bounded, and beyond it the answer
// is no.
bool from_constants(const Value& value, bool& weight, int depth) {
  if (value.kind() == ValueKind::kWeight) return weight = true;
  if (value.kind() == ValueKind::kLiteral) return true;
  if (value.producer() == nullptr || depth == 0) return false;
  for (const Value* input : value.producer()->inputs()) {
    if (input != nullptr && !from_constants(*input, weight, depth - 1)) return false;
  }
  return !value.producer()->inputs().empty();
}
constexpr int kMaxRecipeDepth = 24;

}  // namespace

bool is_weight_only(const Value& value) {
  bool weight = false;
  return value.kind() != ValueKind::kLiteral && from_constants(value, weight, kMaxRecipeDepth) && weight;
}

bool is_weight_only(const Node& node) { return !node.outputs().empty() && is_weight_only(*node.output()); }

std::optional<std::vector<double>> literal_numbers(const Value& value) {
  if (value.kind() != ValueKind::kLiteral) return std::nullopt;
  const auto size = static_cast<size_t>(dtype_size(value.dtype()));
  std::vector<double> numbers;
  for (size_t at = 0; at + size <= value.literal().size(); at += size) {
    numbers.push_back(load_element(value.dtype(), value.literal().data() + at));
  }
  return numbers;
}

std::optional<double> literal_scalar(const Value& value) {
  if (value.kind() != ValueKind::kLiteral || !(element_count(value.shape()) == Dim(1))) return std::nullopt;
  return load_element(value.dtype(), value.literal().data());
}

}  // namespace headrace::ir
