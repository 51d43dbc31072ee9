// Convolutions and attention by cuDNN.
#include <algorithm>

#include "core/error.h"
#include "kernels/cuda/aligned_operand.h"
#include "kernels/cuda/cudnn_graph.h"
#include "kernels/cuda/step_kernel.h"
#include "kernels/cuda/tuned_part.h"
#include "kernels/step_checks.h"

namespace headrace::cuda {

namespace {

// One graph, or a second one that finishes what the first has left in its result.
class CudnnKernel : public StepKernel {
 public:
  explicit CudnnKernel(const StepShapes& step) : device_(step.device), plan_(step.plan) {}

  void add_input(CudnnOperand operand, const StepTensor& tensor) {
    inputs_.push_back({operand, AlignedOperand(tensor, *plan_, kCudnnAlignment, blocks_)});
  }
  void set_output(CudnnOperand operand, const StepTensor& tensor) {
    output_ = {operand, AlignedOperand(tensor, *plan_, kCudnnAlignment, blocks_)};
  }
  void set_graph(CudnnGraphPtr graph) { graph_ = std::move(graph); }
  void set_tail(CudnnGraphPtr graph) { tail_ = std::move(graph); }

  Bytes workspace() const override {
    const Bytes scratch = std::max(graph_->workspace(), tail_ ? tail_->workspace() : Bytes{});
    return blocks_ + scratch + Bytes{kWorkspaceAlignment};
  }

  Status enqueue(const Addresses& at, CUstream stream) const override {
    std::byte* workspace = aligned_workspace(at);
    std::byte* scratch = workspace + blocks_.count;
    const Driver& api = device_->api();
    std::vector<CudnnBinding> bindings;
    HR_ASSIGN(std::byte * result, output_->second.target(at, workspace));
    bindings.push_back({output_->first, result});
    for (const auto& [operand, tensor] : inputs_) {
      HR_ASSIGN(std::byte * from, tensor.load(api, at, workspace, stream));
      bindings.push_back({operand, from});
    }
    if (tail_) {
      const auto is_tails = [](const CudnnBinding& binding) {
        return binding.operand == CudnnOperand::kBias || binding.operand == CudnnOperand::kResidual;
      };
      std::vector<CudnnBinding> tail = {{CudnnOperand::kX, result}, {CudnnOperand::kY, result}};
      std::ranges::copy_if(bindings, std::back_inserter(tail), is_tails);
      std::erase_if(bindings, is_tails);
      HR_TRY(graph_->enqueue(bindings, scratch, stream));
      HR_TRY(tail_->enqueue(tail, scratch, stream));
    } else {
      HR_TRY(graph_->enqueue(bindings, scratch, stream));
    }
    return output_->second.store(api, at, workspace, stream);
  }

 private:
  const CudaDevice* device_;
  const Plan* plan_;
  std::vector<std::pair<CudnnOperand, AlignedOperand>> inputs_;
  std::optional<std::pair<CudnnOperand, AlignedOperand>> output_;
  CudnnGraphPtr graph_, tail_;
  Bytes blocks_;
};

template <class Make>
Result<CudnnGraphPtr> shared_graph(const StepShapes& step, const std::string& key, const Make& make) {
  return tuned_part<CudnnGraph>(step, key, [&](ChoiceMode mode) {
    return make(CudnnChoice{mode, *step.libraries, *step.tuning});
  });
}

// One graph for all of the step; two where cuDNN has no plan for that.
Status choose_conv(const StepShapes& step, const ConvProblem& problem, CudnnKernel& kernel) {
  Result<CudnnGraphPtr> whole = shared_graph(
      step, problem.key(), [&](const CudnnChoice& choice) { return make_conv_graph(problem, choice); });
  const bool plain = !problem.bias && !problem.residual && !problem.epilogue;
  if (whole.ok() || plain || whole.status().code() != Code::kUnsupported) {
    HR_TRY(whole.status());
    kernel.set_graph(*std::move(whole));
    return {};
  }
  ConvProblem bare = problem;
  bare.bias = bare.residual = false;
  bare.epilogue.reset();
  HR_ASSIGN(CudnnGraphPtr graph, shared_graph(step, bare.key(), [&](const CudnnChoice& choice) {
              return make_conv_graph(bare, choice);
            }));
  HR_ASSIGN(CudnnGraphPtr tail,
            shared_graph(step, "tail of " + problem.key(),
                         [&](const CudnnChoice& choice) { return make_conv_tail_graph(problem, choice); }));
  kernel.set_graph(std::move(graph));
  kernel.set_tail(std::move(tail));
  return {};
}

Result<std::unique_ptr<StepKernel>> make_conv(const StepShapes& step) {
  HR_ASSIGN(const ConvForm form, ConvForm::make(step));
  const std::optional<ConvProblem> problem =
      ConvProblem::make(form, step.step->attributes.flag("allow_tf32"));
  const bool strided_bias = form.bias && form.bias->shape[0] > 1 && form.bias->strides[0] != 1;
  if (!problem || strided_bias || form.x.elements() == 0)
    return malformed(step, "cuDNN does not take a convolution of {} of sizes {} by {} like this",
                     dtype_name(form.dtype), to_text(form.x.shape), to_text(form.weight.shape));
  auto kernel = std::make_unique<CudnnKernel>(step);
  kernel->add_input(CudnnOperand::kX, form.x);
  kernel->add_input(CudnnOperand::kW, form.weight);
  if (form.bias) kernel->add_input(CudnnOperand::kBias, *form.bias);
  if (form.residual) kernel->add_input(CudnnOperand::kResidual, *form.residual);
  kernel->set_output(CudnnOperand::kY, form.y);
  HR_TRY(choose_conv(step, *problem, *kernel));
  return std::unique_ptr<StepKernel>(std::move(kernel));
}

// Queries with no keys: nothing is attended to.
class ZeroKernel : public StepKernel {
 public:
  ZeroKernel(const CudaDevice& device, StepTensor out) : device_(device), out_(std::move(out)) {}
  Status enqueue(const Addresses& at, CUstream stream) const override {
    return check(
        device_.api().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(out_.at(at)), 0,
                                      static_cast<size_t>(out_.elements() * dtype_size(out_.dtype)), stream),
        "clear a result");
  }

 private:
  const CudaDevice& device_;
  StepTensor out_;
};

Result<std::unique_ptr<StepKernel>> make_attention(const StepShapes& step) {
  HR_ASSIGN(const AttentionForm form, AttentionForm::make(step));
  if (form.keys == 0 && form.out.row_major())
    return std::unique_ptr<StepKernel>(std::make_unique<ZeroKernel>(*step.device, form.out));
  const std::optional<AttentionProblem> problem = AttentionProblem::make(form);
  if (!problem)
    return malformed(step, "cuDNN does not take attention of {} of sizes {} and strides {} like this",
                     dtype_name(form.dtype), to_text(form.q.shape), to_text(form.q.strides));
  auto kernel = std::make_unique<CudnnKernel>(step);
  kernel->add_input(CudnnOperand::kQ, form.q);
  kernel->add_input(CudnnOperand::kK, form.k);
  kernel->add_input(CudnnOperand::kV, form.v);
  if (form.mask) kernel->add_input(CudnnOperand::kMask, *form.mask);
  kernel->set_output(CudnnOperand::kOut, form.out);
  HR_ASSIGN(CudnnGraphPtr graph, shared_graph(step, problem->key(), [&](const CudnnChoice& choice) {
              return make_attention_graph(*problem, choice);
            }));
  kernel->set_graph(std::move(graph));
  return std::unique_ptr<StepKernel>(std::move(kernel));
}

constexpr KernelRow kRows[] = {{"conv", make_conv}, {"attention", make_attention}};

}  // namespace

std::span<const KernelRow> cudnn_kernels() { return kRows; }

}  // namespace headrace::cuda
