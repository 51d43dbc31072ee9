#include <algorithm>
#include <set>

#include "core/error.h"
#include "ir/graph.h"

namespace headrace::ir {
namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {
    for (const Symbol& symbol : graph.symbols) symbols_.insert(symbol.name);
  }

  Status run() {
    for (const Symbol& symbol : graph_.symbols) {
      if (symbol.min > symbol.opt || symbol.opt > symbol.max) {
        return internal_error("symbol {}: {} <= {} <= {} does not hold", symbol.name, symbol.min, symbol.opt,
                              symbol.max);
      }
    }
    for (const GraphInput& input : graph_.inputs()) {
      if (input.value == nullptr) continue;
      HR_TRY(check_symbols(*input.value));
      defined_.insert(input.value);
    }
    HR_TRY(check_constants());
    for (const auto& node : graph_.nodes()) HR_TRY(check_node(*node));
    for (const GraphOutput& output : graph_.outputs()) {
      if (output.value != nullptr && !defined_.contains(output.value)) {
        return internal_error("output '{}' is '{}', which nothing defines", output.name,
                              output.value->name());
      }
    }
    return {};
  }

 private:
  Status check_symbols(const Value& value) const {
    std::vector<std::string> names;
    for (const Dim& dim : value.shape()) dim.collect_symbols(names);
    for (const std::string& name : names) {
      if (!symbols_.contains(name)) {
        return internal_error("'{}' is {}: symbol {} is not declared", value.name(), to_text(value.type()),
                              name);
      }
    }
    return {};
  }

  Status check_constants() {
    for (const Value* weight : graph_.weights()) {
      if (!is_static(weight->shape()) || weight->weight().strides.size() != weight->shape().size()) {
        return internal_error("weight '{}' is {} with {} strides", weight->name(), to_text(weight->type()),
                              weight->weight().strides.size());
      }
      defined_.insert(weight);
    }
    for (const Value* literal : graph_.literals()) {
      const Result<Sizes> sizes = evaluate(literal->shape(), {});
      const int64_t wanted = sizes.ok() ? element_count(*sizes) * dtype_size(literal->dtype()) : -1;
      if (wanted != static_cast<int64_t>(literal->literal().size())) {
        return internal_error("literal '{}' is {} and holds {} bytes", literal->name(),
                              to_text(literal->type()), literal->literal().size());
      }
      defined_.insert(literal);
    }
    for (const Value* state : graph_.states()) defined_.insert(state);
    return {};
  }

  Status check_node(const Node& node) {
    for (const Value* input : node.inputs()) {
      if (input == nullptr) continue;
      if (!defined_.contains(input)) {
        return internal_error("{} '{}' reads '{}' before it is defined", node.op()->name, node.name(),
                              input->name());
      }
      const auto uses = std::count(node.inputs().begin(), node.inputs().end(), input);
      if (std::count(input->users().begin(), input->users().end(), &node) != uses) {
        return internal_error("the users of '{}' do not list {} '{}' {} times", input->name(),
                              node.op()->name, node.name(), uses);
      }
    }
    HR_ASSIGN(const std::vector<Type> types, node.op()->infer(node));
    if (types.size() != node.outputs().size()) {
      return internal_error("{} '{}' has {} outputs; {} are inferred", node.op()->name, node.name(),
                            node.outputs().size(), types.size());
    }
    for (size_t i = 0; i < types.size(); ++i) {
      const Value& output = *node.output(i);
      if (!(output.type() == types[i])) {
        return internal_error("{} '{}': '{}' is {}; {} is inferred", node.op()->name, node.name(),
                              output.name(), to_text(output.type()), to_text(types[i]));
      }
      HR_TRY(check_symbols(output));
      defined_.insert(&output);
    }
    return {};
  }

  const Graph& graph_;
  std::set<std::string, std::less<>> symbols_;
  std::set<const Value*> defined_;
};

}  // namespace

Status verify(const Graph& graph) { return Verifier(graph).run(); }

}  // namespace headrace::ir
