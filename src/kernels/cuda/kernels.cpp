// The plan's driver: one StepKernel a step.
#include <algorithm>
#include <array>
#include <functional>

#include "core/error.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/fingerprint.h"
#include "kernels/cuda/generated_code.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/step_kernel.h"
#include "kernels/refused_plan.h"

namespace headrace::cuda {

namespace {

const KernelRow* find_row(std::string_view name) {
  static const std::array tables = {matmul_kernels(), cudnn_kernels(), generated_kernels()};
  for (const std::span<const KernelRow> table : tables)
    for (const KernelRow& row : table)
      if (row.name == name) return &row;
  return nullptr;
}

// What the kernels of a plan borrow.
struct LoadedPlan {
  std::shared_ptr<Libraries> libraries;  // and the device with them
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const GeneratedCode> code;
  std::shared_ptr<Tuning> tuning;
};

class CudaPrepared : public Prepared {
 public:
  explicit CudaPrepared(LoadedPlan loaded) : loaded_(std::move(loaded)) {}
  ~CudaPrepared() override {
    const CurrentContext current(loaded_.libraries->device());
    kernels_.clear();
  }

  Bytes workspace(StepIndex step) const override {
    const auto& kernel = kernels_[static_cast<size_t>(step)];
    return kernel ? kernel->workspace() : Bytes{};
  }
  Status enqueue(StepIndex step, const Addresses& at, Queue& queue) const override {
    const auto& kernel = kernels_[static_cast<size_t>(step)];
    if (!kernel) return {};
    const CurrentContext current(loaded_.libraries->device());
    const Status status = kernel->enqueue(at, static_cast<CudaQueue&>(queue).stream());
    if (status.ok()) return {};
    const Step& named = loaded_.plan->steps[static_cast<size_t>(step)];
    return status.with_context(fmt::format("step '{}' ({})", named.label, named.kernel));
  }
  void add(std::unique_ptr<StepKernel> kernel) { kernels_.push_back(std::move(kernel)); }

 private:
  LoadedPlan loaded_;
  std::vector<std::unique_ptr<StepKernel>> kernels_;  // by step; nullptr: nothing to do
};

class CudaExecutable : public Executable {
 public:
  explicit CudaExecutable(LoadedPlan loaded) : loaded_(std::move(loaded)) {}

  // Prepares the opt shapes, which tunes what is not known: now, while no weights lie on the device. What
  // fails is told when these shapes are run; others may run. Errors: kUnavailable where it was cancelled.
  Status tune() {
    Tuning& tuning = *loaded_.tuning;
    TuningStore* const store = tuning.store();
    if (store) loaded_.libraries->choices().load(*store);
    library_steps_ = std::ranges::count_if(loaded_.plan->steps, is_library_step);
    if (library_steps_ == 0 || tuning.exhausted()) return {};
    Status cancelled;
    auto opt = prepare_steps(opt_bindings(loaded_.plan->symbols), [&](int64_t done) {
      cancelled = tuning.progress(done, library_steps_);
      return cancelled;
    });
    if (store) loaded_.libraries->choices().save(*store);
    if (opt.ok()) opt_ = *std::move(opt);
    return cancelled;
  }

  Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int) override {
    const bool is_opt = dims == opt_bindings(loaded_.plan->symbols);
    if (is_opt && opt_) return opt_;
    auto prepared = prepare_steps(dims, [](int64_t) { return Status(); });
    if (TuningStore* const store = loaded_.tuning->store(); store && is_opt)
      loaded_.libraries->choices().save(*store);
    return prepared;
  }

 private:
  static bool is_library_step(const Step& step) {
    const auto of = [&](std::span<const KernelRow> rows) {
      return std::ranges::any_of(rows, [&](const KernelRow& row) { return row.name == step.kernel; });
    };
    return of(matmul_kernels()) || of(cudnn_kernels());
  }

  // `progress`: called with how many of the libraries' steps are prepared.
  Result<std::shared_ptr<const Prepared>> prepare_steps(const DimBindings& dims,
                                                        const std::function<Status(int64_t)>& progress) {
    const CurrentContext current(loaded_.libraries->device());
    auto prepared = std::make_shared<CudaPrepared>(loaded_);
    StepShapes shapes;
    shapes.plan = loaded_.plan.get();
    shapes.dims = dims;
    shapes.opt = opt_bindings(loaded_.plan->symbols);
    shapes.device = &loaded_.libraries->device();
    shapes.libraries = loaded_.libraries.get();
    shapes.tuning = loaded_.tuning.get();
    shapes.code = loaded_.code.get();
    int64_t done = 0;
    for (const Step& step : loaded_.plan->steps) {
      HR_TRY(evaluate_tensors(step, shapes));
      std::unique_ptr<StepKernel> kernel;
      if (!shapes.empty()) {
        Result<std::unique_ptr<StepKernel>> made = find_row(step.kernel)->make(shapes);
        if (!made.ok())
          return made.status().with_context(fmt::format("prepare step '{}' ({})", step.label, step.kernel));
        kernel = *std::move(made);
      }
      prepared->add(std::move(kernel));
      if (is_library_step(step)) HR_TRY(progress(++done));
    }
    return std::shared_ptr<const Prepared>(std::move(prepared));
  }

  LoadedPlan loaded_;
  int64_t library_steps_ = 0;
  std::shared_ptr<const Prepared> opt_;  // as tune() has made it
};

class CudaKernels : public Kernels {
 public:
  CudaKernels(std::shared_ptr<Libraries> libraries, std::shared_ptr<Tuning> tuning)
      : libraries_(std::move(libraries)), tuning_(std::move(tuning)) {}

  Result<std::unique_ptr<Executable>> load(std::shared_ptr<const Plan> plan) override {
    const CudaDevice& device = libraries_->device();
    if (plan->backend != "cuda")
      return incompatible("the engine is for the {} back end, not for cuda; compile the model for cuda:sm_{}",
                          plan->backend, device.sm());
    if (const std::string here = fingerprint(device.sm()); plan->fingerprint != here)
      return incompatible(
          "the engine was compiled for '{}', and this device ({}) is '{}'; compile the model for cuda:sm_{}",
          plan->fingerprint, device.name(), here, device.sm());
    for (const Step& step : plan->steps)
      if (!find_row(step.kernel))
        return refused_plan("step '{}' asks for the kernel '{}', which the cuda back end does not have",
                            step.label, step.kernel);
    HR_ASSIGN(std::shared_ptr<const GeneratedCode> code, GeneratedCode::load(device, plan->code));
    auto executable =
        std::make_unique<CudaExecutable>(LoadedPlan{libraries_, std::move(plan), std::move(code), tuning_});
    HR_TRY(executable->tune());
    return std::unique_ptr<Executable>(std::move(executable));
  }

 private:
  std::shared_ptr<Libraries> libraries_;
  std::shared_ptr<Tuning> tuning_;
};

}  // namespace

std::unique_ptr<Kernels> make_kernels(std::shared_ptr<Libraries> libraries, std::shared_ptr<Tuning> tuning) {
  return std::make_unique<CudaKernels>(std::move(libraries), std::move(tuning));
}

}  // namespace headrace::cuda
