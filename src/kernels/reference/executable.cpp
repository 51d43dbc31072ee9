// Plans of the reference back end: a step's kernel is the IR op's name, its attributes are the IR's.
#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/reference/op.h"
#include "kernels/reference/reference_kernels.h"
#include "kernels/refused_plan.h"

namespace headrace::reference {

namespace {

constexpr std::string_view kFingerprint = "reference 1";

struct PreparedStep {
  const Op* op;
  AttributeMap attributes;  // Dims evaluated
  Bytes workspace;
  bool empty = false;  // nothing to do
};

struct PreparedTensor {
  View view;           // without data
  int64_t offset = 0;  // in bytes, from the buffer's start
};

class ReferencePrepared : public Prepared {
 public:
  ReferencePrepared(std::shared_ptr<const Plan> plan, std::vector<PreparedTensor> tensors,
                    std::vector<PreparedStep> steps)
      : plan_(std::move(plan)), tensors_(std::move(tensors)), steps_(std::move(steps)) {}

  Bytes workspace(StepIndex step) const override { return steps_[static_cast<size_t>(step)].workspace; }
  Status enqueue(StepIndex index, const Addresses& at, Queue& queue) const override;

 private:
  std::shared_ptr<const Plan> plan_;
  std::vector<PreparedTensor> tensors_;
  std::vector<PreparedStep> steps_;
};

// Which weight a tensor reads by rows; kNone for all others.
int32_t rows_weight(const Plan& plan, TensorIndex tensor) {
  const PlanTensor& t = plan.tensors[static_cast<size_t>(tensor)];
  const Buffer& buffer = plan.buffers[static_cast<size_t>(t.buffer)];
  if (buffer.kind != BufferKind::kWeight) return kNone;
  return plan.weights[static_cast<size_t>(buffer.index)].use == WeightUse::kRows ? buffer.index : kNone;
}

Status ReferencePrepared::enqueue(StepIndex index, const Addresses& at, Queue&) const {
  const Step& step = plan_->steps[static_cast<size_t>(index)];
  const PreparedStep& prepared = steps_[static_cast<size_t>(index)];
  if (prepared.empty) return {};
  const auto view = [&](TensorIndex tensor) {
    const PreparedTensor& from = tensors_[static_cast<size_t>(tensor)];
    std::byte* base = at.buffers[static_cast<size_t>(plan_->tensors[static_cast<size_t>(tensor)].buffer)];
    View result = from.view;
    result.data = base ? base + from.offset : nullptr;
    return result;
  };
  std::vector<View> inputs(step.inputs.size()), outputs;
  std::vector<const View*> present(step.inputs.size(), nullptr);
  RowSource* rows = nullptr;
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    if (step.inputs[i] == kNone) continue;
    inputs[i] = view(step.inputs[i]);
    present[i] = &inputs[i];
    if (const int32_t weight = rows_weight(*plan_, step.inputs[i]); weight != kNone)
      rows = at.rows[static_cast<size_t>(weight)];
  }
  for (const TensorIndex tensor : step.outputs) outputs.push_back(view(tensor));
  Scratch scratch(at.workspace, prepared.workspace);
  return prepared.op->run({step.kernel, step.label, prepared.attributes, present, outputs, rows, scratch});
}

Result<Attribute> evaluate_attribute(const Attribute& attribute, const DimBindings& dims) {
  if (const Dim* dim = std::get_if<Dim>(&attribute)) {
    HR_ASSIGN(const int64_t value, dim->evaluate(dims));
    return Attribute(Dim(value));
  }
  if (const auto* list = std::get_if<std::vector<Dim>>(&attribute)) {
    HR_ASSIGN(const Sizes sizes, evaluate(std::span<const Dim>(*list), dims));
    return Attribute(to_shape(sizes));
  }
  return attribute;
}

// A tensor's sizes for these bindings. Errors: kCorrupt where it leaves its buffer.
Result<PreparedTensor> evaluate_tensor(const Plan& plan, const PlanTensor& tensor, const DimBindings& dims) {
  View view;
  view.dtype = tensor.dtype;
  HR_ASSIGN(view.shape, evaluate(std::span<const Dim>(tensor.shape), dims));
  HR_ASSIGN(view.strides, evaluate(std::span<const Dim>(tensor.strides), dims));
  HR_ASSIGN(const int64_t offset, tensor.offset.evaluate(dims));
  HR_ASSIGN(const int64_t size, plan.buffers[static_cast<size_t>(tensor.buffer)].size.evaluate(dims));
  int64_t count = 1, last = offset;  // the highest element touched
  bool sane = offset >= 0;
  constexpr int64_t kMostElements = int64_t{1} << 48;  // strides of 0 let few bytes stand for any number
  for (size_t i = 0; i < view.shape.size() && sane; ++i) {
    int64_t reach = 0;
    sane = view.shape[i] >= 0 && view.strides[i] >= 0 &&
           !__builtin_mul_overflow(count, view.shape[i], &count) &&
           !__builtin_mul_overflow(std::max<int64_t>(view.shape[i] - 1, 0), view.strides[i], &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  }
  if (!sane || count > kMostElements || (count > 0 && last >= size / dtype_size(view.dtype)))
    return refused_plan("tensor {} at {} leaves its buffer of {} bytes",
                        to_text(std::span<const int64_t>(view.shape)), offset, size);
  const int64_t bytes = count > 0 ? offset * dtype_size(view.dtype) : 0;
  return PreparedTensor{std::move(view), bytes};
}

class ReferenceExecutable : public Executable {
 public:
  explicit ReferenceExecutable(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {}

  Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int) override {
    std::vector<PreparedTensor> tensors;
    for (const PlanTensor& tensor : plan_->tensors) {
      HR_ASSIGN(tensors.emplace_back(), evaluate_tensor(*plan_, tensor, dims));
    }
    std::vector<PreparedStep> steps;
    for (const Step& step : plan_->steps) {
      HR_ASSIGN(steps.emplace_back(), prepare_step(step, tensors, dims));
    }
    return std::shared_ptr<const Prepared>(
        std::make_shared<ReferencePrepared>(plan_, std::move(tensors), std::move(steps)));
  }

 private:
  Result<PreparedStep> prepare_step(const Step& step, const std::vector<PreparedTensor>& tensors,
                                    const DimBindings& dims) const {
    PreparedStep prepared{find_op(step.kernel), {}, {}, false};
    for (const auto& [name, attribute] : step.attributes.entries()) {
      HR_ASSIGN(Attribute value, evaluate_attribute(attribute, dims));
      prepared.attributes.set(name, std::move(value));
    }
    for (const TensorIndex tensor : step.inputs)
      if (tensor != kNone && rows_weight(*plan_, tensor) == kNone)
        prepared.workspace += Scratch::need(tensors[static_cast<size_t>(tensor)].view.elements());
    for (const TensorIndex tensor : step.outputs) {
      const int64_t elements = tensors[static_cast<size_t>(tensor)].view.elements();
      prepared.workspace += Scratch::need(elements);
      prepared.empty = prepared.empty || elements == 0;
    }
    return prepared;
  }
  std::shared_ptr<const Plan> plan_;
};

// A gather is the only reader of rows, and what it reads must be the weight as it lies.
Status check_rows(const Plan& plan, const Step& step) {
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    const int32_t weight = step.inputs[i] == kNone ? kNone : rows_weight(plan, step.inputs[i]);
    if (weight == kNone) continue;
    const PlanTensor& tensor = plan.tensors[static_cast<size_t>(step.inputs[i])];
    const Weight& rows = plan.weights[static_cast<size_t>(weight)];
    if (step.kernel != "gather" || i != 0 || tensor.dtype != rows.dtype ||
        tensor.shape != to_shape(rows.shape))
      return refused_plan("step '{}': rows of weight '{}' are read by something else than a gather of it",
                          step.label, rows.name);
  }
  return {};
}

Status check_step(const Plan& plan, const Step& step) {
  const Op* op = find_op(step.kernel);
  if (!op)
    return refused_plan("step '{}': the reference back end has no kernel '{}'", step.label, step.kernel);
  const auto inputs = static_cast<int>(step.inputs.size()), outputs = static_cast<int>(step.outputs.size());
  if (inputs < op->min_inputs || (op->max_inputs >= 0 && inputs > op->max_inputs) || outputs < 1 ||
      (op->max_outputs >= 0 && outputs > op->max_outputs))
    return refused_plan("step '{}': {} inputs and {} outputs do not fit kernel '{}'", step.label, inputs,
                        outputs, step.kernel);
  for (const TensorIndex tensor : step.outputs)
    if (tensor == kNone) return refused_plan("step '{}': an output is absent", step.label);
  return check_rows(plan, step);
}

class ReferenceKernels : public Kernels {
 public:
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    if (plan->fingerprint != kFingerprint)
      return incompatible("the plan was made for '{}', this is '{}'; compile it again", plan->fingerprint,
                          kFingerprint);
    for (const Step& step : plan->steps) HR_TRY(check_step(*plan, step));
    return std::unique_ptr<Executable>(std::make_unique<ReferenceExecutable>(std::move(plan)));
  }
};

}  // namespace

std::unique_ptr<Kernels> make_kernels() { return std::make_unique<ReferenceKernels>(); }

}  // namespace headrace::reference
