// The plan's driver: one StepKernel a step.
#include <array>

#include "core/error.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/refused_plan.h"

namespace headrace::cpu {

namespace {

const KernelRow* find_row(std::string_view name) {
  static const std::array tables = {product_kernels(),   pool_kernels(),      batch_norm_kernels(),
                                    attention_kernels(), pointwise_kernels(), norm_kernels(),
                                    reduce_kernels(),    move_kernels(),      index_kernels()};
  for (const std::span<const KernelRow> table : tables)
    for (const KernelRow& row : table)
      if (row.name == name) return &row;
  return nullptr;
}

class CpuPrepared : public Prepared {
 public:
  explicit CpuPrepared(int threads) : threads_(threads) {}

  Bytes workspace(StepIndex step) const override {
    const auto& kernel = kernels_[static_cast<size_t>(step)];
    return kernel ? kernel->workspace() : Bytes{};
  }
  Status enqueue(StepIndex step, const Addresses& at, Queue&) const override {
    const auto& kernel = kernels_[static_cast<size_t>(step)];
    if (!kernel) return {};
    const TeamSize team(threads_);
    return kernel->run(at);
  }
  void add(std::unique_ptr<StepKernel> kernel) { kernels_.push_back(std::move(kernel)); }

 private:
  std::vector<std::unique_ptr<StepKernel>> kernels_;  // by step; nullptr: nothing to do
  int threads_;
};

class CpuExecutable : public Executable {
 public:
  explicit CpuExecutable(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {}

  Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int threads) override {
    auto prepared = std::make_shared<CpuPrepared>(threads);
    const TeamSize team(threads);  // oneDNN makes primitives for the team that will run them
    SharedParts shared;
    StepShapes shapes;
    shapes.plan = plan_.get();
    shapes.dims = dims;
    shapes.opt = opt_bindings(plan_->symbols);
    shapes.threads = threads;
    shapes.shared = &shared;
    for (const Step& step : plan_->steps) {
      HR_ASSIGN(std::unique_ptr<StepKernel> kernel, make(step, shapes));
      prepared->add(std::move(kernel));
    }
    return std::shared_ptr<const Prepared>(std::move(prepared));
  }

 private:
  Result<std::unique_ptr<StepKernel>> make(const Step& step, StepShapes& shapes) const {
    HR_TRY(evaluate_tensors(step, shapes));
    if (shapes.empty()) return std::unique_ptr<StepKernel>();
    return find_row(step.kernel)->make(shapes);
  }

  std::shared_ptr<const Plan> plan_;
};

class CpuKernels : public Kernels {
 public:
  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    if (plan->backend != "cpu")
      return incompatible("the engine is for the {} back end, not for cpu; compile the model for cpu",
                          plan->backend);
    if (plan->fingerprint != fingerprint())
      return incompatible("the engine was compiled for '{}', and this is '{}'; compile the model again here",
                          plan->fingerprint, fingerprint());
    for (const Step& step : plan->steps)
      if (!find_row(step.kernel))
        return refused_plan("step '{}' asks for the kernel '{}', which the cpu back end does not have",
                            step.label, step.kernel);
    return std::unique_ptr<Executable>(std::make_unique<CpuExecutable>(std::move(plan)));
  }
};

}  // namespace

std::unique_ptr<Kernels> make_kernels() { return std::make_unique<CpuKernels>(); }

std::string fingerprint() { return fmt::format("cpu {} {}", onednn_isa(), onednn_version()); }

}  // namespace headrace::cpu
