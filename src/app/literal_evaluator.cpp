#include "app/literal_evaluator.h"

#include "core/error.h"
#include "kernels/reference/reference_kernels.h"

namespace headrace::app {

Result<std::vector<std::vector<std::byte>>> evaluate_literals(const ir::Node& node) {
  std::vector<HostTensor> literals(node.inputs().size());
  std::vector<const HostTensor*> inputs;
  for (size_t i = 0; i < literals.size(); ++i) {
    const ir::Value* value = node.input(i);
    inputs.push_back(value ? &literals[i] : nullptr);
    if (value == nullptr) continue;
    HR_ASSIGN(Sizes sizes, evaluate(std::span<const Dim>(value->shape()), {}));
    literals[i] = {value->dtype(), std::move(sizes), value->literal()};
  }
  std::vector<HostTensor> outputs;
  for (const ir::Value* value : node.outputs()) {
    HR_ASSIGN(Sizes sizes, evaluate(std::span<const Dim>(value->shape()), {}));
    const int64_t bytes = element_count(std::span<const int64_t>(sizes)) * dtype_size(value->dtype());
    outputs.push_back({value->dtype(), std::move(sizes), std::vector<std::byte>(static_cast<size_t>(bytes))});
  }
  HR_TRY(reference::run_op(node.op()->name, node.attributes(), inputs, outputs));
  std::vector<std::vector<std::byte>> bytes;
  for (HostTensor& output : outputs) bytes.push_back(std::move(output.bytes));
  return bytes;
}

}  // namespace headrace::app
