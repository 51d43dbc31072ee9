#include "graph_runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace headrace::testing {
namespace {

// The attributes with every Dim bound to a number, as a lowering hands them to a kernel for one shape.
Result<AttributeMap> bound(const AttributeMap& attributes, const DimBindings& dims) {
  AttributeMap result = attributes;
  for (const auto& [name, value] : attributes.entries()) {
    if (const Dim* dim = std::get_if<Dim>(&value)) {
      HR_ASSIGN(const int64_t number, dim->evaluate(dims));
      result.set(name, Dim(number));
    } else if (const auto* list = std::get_if<std::vector<Dim>>(&value)) {
      HR_ASSIGN(const Sizes numbers, evaluate(std::span<const Dim>(*list), dims));
      result.set(name, to_shape(std::span<const int64_t>(numbers)));
    }
  }
  return result;
}

Result<std::vector<HostTensor>> run_node(const ir::Node& node, const std::vector<const HostTensor*>& inputs,
                                         const DimBindings& dims) {
  std::vector<HostTensor> outputs;
  for (const ir::Value* value : node.outputs()) {
    HR_ASSIGN(Sizes sizes, evaluate(std::span<const Dim>(value->shape()), dims));
    const auto bytes =
        static_cast<size_t>(element_count(std::span<const int64_t>(sizes)) * dtype_size(value->dtype()));
    outputs.push_back({value->dtype(), std::move(sizes), std::vector<std::byte>(bytes)});
  }
  HR_ASSIGN(const AttributeMap attributes, bound(node.attributes(), dims));
  const Status status = reference::run_op(node.op()->name, attributes, inputs, outputs);
  if (!status.ok()) return status.with_context(node.name());
  return outputs;
}

Result<HostTensor> literal_tensor(const ir::Value& value) {
  HR_ASSIGN(Sizes sizes, evaluate(std::span<const Dim>(value.shape()), {}));
  return HostTensor{value.dtype(), std::move(sizes), value.literal()};
}

}  // namespace

Result<std::vector<HostTensor>> run_graph(const ir::Graph& graph, const Tensors& given,
                                          const DimBindings& dims) {
  std::map<const ir::Value*, HostTensor> made;
  const auto tensor_of = [&](const ir::Value* value) -> Result<const HostTensor*> {
    const auto found = made.find(value);
    if (found != made.end()) return &found->second;
    if (value->kind() == ir::ValueKind::kLiteral) {
      HR_ASSIGN(HostTensor literal, literal_tensor(*value));
      return &made.emplace(value, std::move(literal)).first->second;
    }
    const bool is_weight = value->kind() == ir::ValueKind::kWeight;
    const auto named = given.find(is_weight ? value->weight().storage : value->name());
    if (named == given.end()) return not_found("no tensor is given for '{}'", value->name());
    return &named->second;
  };
  for (const auto& node : graph.nodes()) {
    std::vector<const HostTensor*> inputs;
    for (const ir::Value* value : node->inputs()) {
      inputs.push_back(nullptr);
      if (value) {
        HR_ASSIGN(inputs.back(), tensor_of(value));
      }
    }
    HR_ASSIGN(std::vector<HostTensor> outputs, run_node(*node, inputs, dims));
    for (size_t i = 0; i < outputs.size(); ++i) made[node->output(i)] = std::move(outputs[i]);
  }
  std::vector<HostTensor> results;
  for (const ir::GraphOutput& output : graph.outputs()) {
    if (!output.value) continue;
    HR_ASSIGN(const HostTensor* tensor, tensor_of(output.value));
    results.push_back(*tensor);
  }
  return results;
}

double difference(const HostTensor& a, const HostTensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape || a.dtype != DType::kF32) return INFINITY;
  double largest = 1, apart = 0;
  for (size_t at = 0; at < a.bytes.size(); at += sizeof(float)) {
    float x = 0, y = 0;
    std::memcpy(&x, a.bytes.data() + at, sizeof x);
    std::memcpy(&y, b.bytes.data() + at, sizeof y);
    largest = std::max(largest, std::abs(static_cast<double>(x)));
    const double here = std::abs(static_cast<double>(x) - y);
    apart = std::isnan(here) ? INFINITY : std::max(apart, here);
  }
  return apart / largest;
}

}  // namespace headrace::testing
