// One op on dense tensors, and the evaluator of recipes over it.
#include <utility>
#include <vector>

#include "kernels/reference/op.h"
#include "kernels/reference/reference_kernels.h"

namespace headrace::reference {

namespace {

class ReferenceEvaluator : public Evaluator {
 public:
  Result<HostTensor> evaluate(const RecipeStep& step,
                              std::span<const HostTensor* const> inputs) const override {
    HostTensor output{step.dtype, step.shape, {}};
    const int64_t elements = element_count(std::span<const int64_t>(step.shape));
    output.bytes.resize(static_cast<size_t>(elements * dtype_size(step.dtype)));
    HR_TRY(run_op(step.attributes.text("kernel"), step.attributes, inputs, {&output, 1}));
    return output;
  }
};

View view_of(const HostTensor& tensor) {
  return dense_view(tensor.dtype, tensor.shape, const_cast<std::byte*>(tensor.bytes.data()));
}

}  // namespace

Status run_op(std::string_view kernel, const AttributeMap& attributes,
              std::span<const HostTensor* const> inputs, std::span<HostTensor> outputs) {
  const Op* op = find_op(kernel);
  if (!op) return corrupt("the reference back end has no kernel '{}'", kernel);
  const auto count = static_cast<int>(inputs.size());
  if (count < op->min_inputs || (op->max_inputs >= 0 && count > op->max_inputs) || outputs.empty())
    return corrupt("{}: {} inputs and {} outputs do not fit the kernel", kernel, count, outputs.size());
  std::vector<View> input_views(inputs.size()), output_views;
  std::vector<const View*> present(inputs.size(), nullptr);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i]) {
      input_views[i] = view_of(*inputs[i]);
      present[i] = &input_views[i];
    }
  bool empty = false;
  for (HostTensor& output : outputs) {
    output_views.push_back(view_of(output));
    empty = empty || output_views.back().elements() == 0;
  }
  if (empty) return {};
  const Bytes need = scratch_need(present, output_views);
  std::vector<double> memory(static_cast<size_t>(need.count / 8 + 1));
  Scratch scratch(reinterpret_cast<std::byte*>(memory.data()), need);
  return op->run({kernel, kernel, attributes, present, output_views, nullptr, scratch});
}

std::unique_ptr<Evaluator> make_evaluator() { return std::make_unique<ReferenceEvaluator>(); }

}  // namespace headrace::reference
