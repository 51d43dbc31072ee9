// precision: floats in the precision that was asked for. Inputs and outputs of the graph keep their dtypes,
// by casts; weights are cast by weight-only nodes; integers, booleans and f64 (for bf16 and fp16) stay.
//
// In bf16 and fp16, numbers that are made from integers (positions, counts, masks), and what a model itself
// casts up to f32, stay as they are until they meet activations: 2049 is no bf16.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "passes/pass_list.h"
#include "passes/rewrite.h"

namespace headrace::passes {
namespace {

// The largest finite number of a float type that can be asked for.
double largest(DType dtype) {
  if (dtype == DType::kBF16) return 3.3895313892515355e38;
  return dtype == DType::kF16 ? 65504.0 : std::numeric_limits<float>::max();
}

class Converter {
 public:
  Converter(Graph& graph, DType target) : graph_(graph), target_(target) {}

  Result<bool> run() {
    for (Node* node : snapshot(graph_)) remember(*node);
    for (Node* node : snapshot(graph_)) {
      if (is_weight_only(*node)) continue;
      HR_TRY(is_kept(*node) ? keep(node) : convert(node));
    }
    HR_TRY(restore_outputs());
    return changed_;
  }

 private:
  bool converts(DType dtype) const {
    return is_float(dtype) && dtype != target_ && (dtype != DType::kF64 || target_ == DType::kF32);
  }

  void remember(const Node& node) {
    for (const Value* value : node.outputs()) dtypes_.emplace(value, value->dtype());
  }
  DType original(const Value* value) const {
    const auto found = dtypes_.find(value);
    return found == dtypes_.end() ? value->dtype() : found->second;
  }

  // Whether the node goes on in the dtypes that it has.
  bool is_kept(const Node& node) const {
    if (node.is("pointwise")) return true;  // its program names dtypes
    if (node.is("fill") || node.is("iota") || node.is("dim_value")) return true;
    if (node.is("cast") && target_ != DType::kF32) {
      const DType from = original(node.input(0)), to = node.output()->dtype();
      const bool widens = is_float(from) ? dtype_size(to) > dtype_size(from) : true;
      if (!is_float(to) || kept_.count(node.input(0))) return true;
      if (widens && !is_constant(node.input(0))) return true;
      return false;
    }
    bool any_kept = false;
    for (const Value* input : node.inputs()) {
      if (!input || !is_float(input->dtype()) || is_constant(input)) continue;
      if (!kept_.count(input)) return false;
      any_kept = true;
    }
    return any_kept;
  }

  Status keep(Node* node) {
    for (size_t i = 0; i < node->inputs().size(); ++i) {
      Value* input = node->input(i);
      if (!input || input->dtype() == original(input)) continue;
      HR_TRY(set_cast_input(node, i, original(input)));
    }
    for (const Value* value : node->outputs())
      if (is_float(value->dtype()) && target_ != DType::kF32) kept_.insert(value);
    if (target_ == DType::kF32 && converts_output(*node)) return convert_generator(node);
    return {};
  }

  bool converts_output(const Node& node) const {
    return (node.is("fill") || node.is("cast")) && converts(node.output()->dtype());
  }

  Status convert_generator(Node* node) {
    node->attributes().set("dtype", target_);
    changed_ = true;
    return graph_.reinfer(node);
  }

  Status convert(Node* node) {
    const bool makes_float = node->is("cast") && converts(node->output()->dtype());
    if (makes_float) {
      node->attributes().set("dtype", target_);
      changed_ = true;
    }
    if (!node->is("cast")) {
      for (size_t i = 0; i < node->inputs().size(); ++i) {
        const Value* input = node->input(i);
        if (!input || !converts(input->dtype())) continue;
        if (node->is("attention") && i == 3) HR_TRY(keep_mask_finite(node));
        HR_TRY(set_cast_input(node, i, target_));
      }
    }
    return graph_.reinfer(node);
  }

  // The lowest f32 in a mask stands for "masked"; in a smaller type it would be -inf, and rows that are all
  // masked NaN.
  Status keep_mask_finite(Node* node) {
    Value* mask = node->input(3);
    if (target_ == DType::kF32 || is_constant(mask)) return {};
    Value* lowest = add_scalar(graph_, "lowest", mask->dtype(), -largest(target_));
    HR_ASSIGN(Value * finite, graph_.add("maximum", {mask, lowest}, {}, mask->name(), node));
    graph_.set_input(node, 3, finite);
    return {};
  }

  Status set_cast_input(Node* node, size_t index, DType dtype) {
    HR_ASSIGN(Value * converted, as(node->input(index), dtype, node));
    graph_.set_input(node, index, converted);
    changed_ = true;
    return {};
  }

  // `value` in `dtype`: one cast for all its users; a literal is rounded here, and what is finite stays
  // finite.
  Result<Value*> as(Value* value, DType dtype, Node* position) {
    Value*& cached = casts_[{value, dtype}];
    if (cached && (!cached->producer() || graph_.precedes(cached->producer(), position))) return cached;
    if (const auto numbers = ir::literal_numbers(*value)) {
      std::vector<double> rounded = *numbers;
      for (double& number : rounded)
        if (std::isfinite(number)) number = std::clamp(number, -largest(dtype), largest(dtype));
      cached = graph_.add_literal(value->name(), {dtype, value->shape()}, encode(dtype, rounded));
      return cached;
    }
    HR_ASSIGN(cached, graph_.add("cast", {value}, dtype_attribute(dtype), value->name(), position));
    return cached;
  }

  Status restore_outputs() {
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      Value* value = graph_.outputs()[i].value;
      if (!value || value->dtype() == original(value)) continue;
      HR_ASSIGN(Value * restored,
                graph_.add("cast", {value}, dtype_attribute(original(value)), value->name()));
      graph_.set_output(i, restored);
    }
    return {};
  }

  Graph& graph_;
  const DType target_;
  bool changed_ = false;
  std::map<const Value*, DType> dtypes_;  // of results, before
  std::set<const Value*> kept_;           // floats that stay in their own dtype until they meet activations
  std::map<std::pair<Value*, DType>, Value*> casts_;
};

}  // namespace

Result<bool> precision(Graph& graph, const PassContext& context) {
  switch (context.options.precision) {
    case Precision::kAsIs: return false;
    case Precision::kF32: return Converter(graph, DType::kF32).run();
    case Precision::kBF16: return Converter(graph, DType::kBF16).run();
    case Precision::kF16: return Converter(graph, DType::kF16).run();
  }
  return false;
}

}  // namespace headrace::passes
