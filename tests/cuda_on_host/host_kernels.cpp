#include "cuda_on_host/host_kernels.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <thread>

#include "core/error.h"
#include "cuda_on_host/device_on_host.h"
#include "kernels/cuda/generated_step.h"
#include "kernels/cuda/product_launch.h"
#include "kernels/cuda/product_step.h"
#include "kernels/reference/reference_kernels.h"
#include "kernels/step_form.h"

namespace headrace::test {

namespace {

using Functions = std::map<std::string, HostKernel>;

// The source, with kernels that take their arguments by reference: their sizes differ, and one type of
// function is to call them all. Adds their names.
std::string host_source(const std::string& program, std::vector<std::string>& names) {
  std::string source = "#include \"cuda_on_host/device_on_host.h\"\n" + program;
  constexpr std::string_view kEnd = "> args) {", kStart = ") hr_";
  for (size_t at = source.find(kEnd); at != std::string::npos; at = source.find(kEnd, at + kEnd.size())) {
    const size_t name = source.rfind(kStart, at) + 2;
    names.push_back(source.substr(name, source.find('(', name) - name));
    source.insert(at + 1, "&");
  }
  return source;
}

Status compile(const std::string& program, const std::filesystem::path& base, Functions& functions,
               std::vector<std::string>& names) {
  const std::string source = base.string() + ".cpp", library = base.string() + ".so";
  std::ofstream(source) << host_source(program, names);
#ifdef __SANITIZE_ADDRESS__
  constexpr std::string_view kWatched = "-fsanitize=address";
#else
  constexpr std::string_view kWatched;
#endif
  const std::string command = fmt::format(
      "{} -std=c++20 -O1 -w -fPIC {} -shared -I{}/src -I{}/include -I{}/tests -o {} {}", HEADRACE_CXX,
      kWatched, HEADRACE_SOURCE_DIR, HEADRACE_SOURCE_DIR, HEADRACE_SOURCE_DIR, library, source);
  if (std::system(command.c_str()) != 0) return internal_error("failed: {}", command);
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);  // kept until the process ends
  if (!handle) return internal_error("{}", dlerror());
  for (const std::string& name : names) {
    functions[name] = reinterpret_cast<HostKernel>(dlsym(handle, name.c_str()));
    if (!functions[name]) return internal_error("'{}' has no function '{}'", library, name);
  }
  return {};
}

// Elements of a window of memory, in row-major order; to them, or from them.
template <bool from_memory>
void move_elements(const StepTensor& tensor, std::byte* memory, std::vector<std::byte>& dense) {
  const auto size = static_cast<size_t>(dtype_size(tensor.dtype));
  const Sizes steps = row_major_strides(std::span<const int64_t>(tensor.shape));
  dense.resize(static_cast<size_t>(tensor.elements()) * size);
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    int64_t at = 0;
    for (size_t d = 0; d < steps.size(); ++d) at += i / steps[d] % tensor.shape[d] * tensor.strides[d];
    std::byte *there = memory + at * static_cast<int64_t>(size),
              *here = dense.data() + static_cast<size_t>(i) * size;
    std::memcpy(from_memory ? here : there, from_memory ? there : here, size);
  }
}

// A step of a library's, by the reference kernel of its name.
Status run_by_reference(const Step& step, const StepForm& form, const Addresses& at) {
  std::vector<HostTensor> inputs(form.inputs.size());
  std::vector<const HostTensor*> present;
  for (size_t i = 0; i < form.inputs.size(); ++i) {
    present.push_back(form.inputs[i] ? &inputs[i] : nullptr);
    if (!form.inputs[i]) continue;
    StepTensor tensor = *form.inputs[i];
    if (i == 1 && step.attributes.flag("weight_channels_last")) {  // [O, k.., C] as [O, C, k..]
      std::rotate(tensor.shape.begin() + 1, tensor.shape.end() - 1, tensor.shape.end());
      std::rotate(tensor.strides.begin() + 1, tensor.strides.end() - 1, tensor.strides.end());
    }
    inputs[i].dtype = tensor.dtype;
    inputs[i].shape = tensor.shape;
    move_elements<true>(tensor, tensor.at(at), inputs[i].bytes);
  }
  const StepTensor& output = form.outputs[0];
  std::vector<HostTensor> outputs(1);
  outputs[0].dtype = output.dtype;
  outputs[0].shape = output.shape;
  outputs[0].bytes.resize(static_cast<size_t>(output.elements() * dtype_size(output.dtype)));
  HR_TRY(reference::run_op(step.kernel, step.attributes, present, outputs));
  move_elements<false>(output, output.at(at), outputs[0].bytes);
  return {};
}

cuda::TensorMap host_map(const cuda::BoxedTensor& tensor, const char* data) {
  HostMap host = {data, {}, {}, {}, static_cast<uint16_t>(tensor.rank)};
  for (size_t d = 0; d < static_cast<size_t>(tensor.rank); ++d) {
    host.sizes[d] = tensor.sizes[d];
    host.strides[d] = tensor.strides[d];
    host.box[d] = static_cast<uint16_t>(tensor.box[d]);
  }
  cuda::TensorMap map = {};
  std::memcpy(&map, &host, sizeof(host));
  return map;
}

constexpr int kMultiprocessors = 2;  // few: so that kernels walk in steps

class HostPrepared : public Prepared {
 public:
  HostPrepared(std::shared_ptr<const Plan> plan, DimBindings dims, const Functions& functions)
      : plan_(std::move(plan)), dims_(std::move(dims)), functions_(functions) {}

  Bytes workspace(StepIndex) const override { return {}; }
  Status enqueue(StepIndex index, const Addresses& at, Queue&) const override {
    const Step& step = plan_->steps[static_cast<size_t>(index)];
    StepForm form;
    form.plan = plan_.get();
    form.dims = dims_;
    HR_TRY(evaluate_tensors(step, form));
    if (form.empty()) return {};
    std::vector<std::optional<StepTensor>> tensors = form.inputs;
    for (const StepTensor& output : form.outputs) tensors.emplace_back(output);
    if (step.kernel == cuda::kGenerated) return run(step, tensors, form.outputs.size(), at);
    HR_ASSIGN(const bool done, run_product(step, form, at));
    if (done) return {};
    const AttributeMap ending = cuda::with_prefix(step.attributes, cuda::kEndingPrefix);
    if (ending.empty()) return run_by_reference(step, form, at);
    Step part = step;
    part.attributes.erase("epilogue");
    HR_TRY(run_by_reference(part, form, at));
    part.attributes = ending;
    return run(part, {form.outputs[0], form.outputs[0]}, 1, at);
  }

 private:
  // By one of the kernels that a step brings for products, where one takes it: by each in turn.
  Result<bool> run_product(const Step& step, const StepForm& form, const Addresses& at) const {
    std::vector<AttributeMap> kernels;
    for (int64_t i = 0; i < step.attributes.integer(cuda::kProducts); ++i)
      kernels.push_back(cuda::with_prefix(step.attributes, cuda::product_prefix(i)));
    std::erase_if(kernels, [](const AttributeMap& kernel) {
      const auto tile = cuda::product_tile(kernel);
      return !tile || tile->split > 1;  // no clusters here
    });
    if (kernels.empty()) return false;
    static std::atomic<size_t> next = 0;
    const AttributeMap& chosen = kernels[next++ % kernels.size()];
    HR_ASSIGN(const MatmulForm matmul, MatmulForm::make(form));
    const cuda::ProductTile tile = *cuda::product_tile(chosen);
    const auto planned = cuda::plan_product(matmul, tile, chosen.integer(cuda::kIndexBits), kMultiprocessors);
    if (!planned) return false;
    auto arguments = planned->arguments;
    for (size_t k = 0; k < cuda::kProductOperands; ++k) {
      if (!planned->operands[k]) continue;
      arguments.tensors[k].data = reinterpret_cast<char*>(planned->operands[k]->at(at));
      if (reinterpret_cast<uintptr_t>(arguments.tensors[k].data) % 16 != 0) return false;
    }
    cuda::GeneratedLaunch launch;
    launch.grid[0] = planned->blocks;
    launch.block[0] = static_cast<unsigned>(tile.threads);
    cuda::MappedArgs<cuda::kProductOperands> mapped = {{}, arguments};
    for (size_t k = 0; tile.mapped && k < planned->boxes.size(); ++k)
      mapped.maps[k] = host_map(planned->boxes[k], arguments.tensors[k].data);
    const void* const all = tile.mapped ? static_cast<const void*>(&mapped) : &arguments;
    HR_TRY(run_function(chosen.text(cuda::kFunction), all, launch));
    return true;
  }

  Status run_function(const std::string& name, const void* arguments,
                      const cuda::GeneratedLaunch& launch) const {
    const auto function = functions_.find(name);
    if (function == functions_.end()) return internal_error("there is no function '{}'", name);
    return run_blocks(function->second, arguments, launch, name);
  }

  Status run(const Step& step, const std::vector<std::optional<StepTensor>>& tensors, size_t outputs,
             const Addresses& at) const {
    std::vector<std::optional<cuda::GeneratedOperand>> operands;
    for (const auto& tensor : tensors) {
      auto& operand = operands.emplace_back();
      if (tensor) operand = {tensor->dtype, tensor->shape, tensor->strides};
    }
    HR_ASSIGN(const cuda::GeneratedLaunches launches,
              plan_launches(step.attributes, step.label, operands, outputs, dims_, kMultiprocessors));
    bool aligned = launches.vector.has_value();
    for (size_t k = 0; aligned && k < tensors.size(); ++k)
      aligned = !tensors[k] || reinterpret_cast<uintptr_t>(tensors[k]->at(at)) % launches.alignment[k] == 0;
    const cuda::GeneratedLaunch& launch = aligned ? *launches.vector : launches.scalar;
    cuda::GeneratedArgs<cuda::kGeneratedOperands> arguments = {};
    arguments.head = launch.head;
    for (size_t k = 0; k < tensors.size(); ++k) {
      arguments.tensors[k] = launch.tensors[k];
      if (tensors[k]) arguments.tensors[k].data = reinterpret_cast<char*>(tensors[k]->at(at));
    }
    return run_function(step.attributes.text(cuda::kFunction), &arguments, launch);
  }

  std::shared_ptr<const Plan> plan_;
  DimBindings dims_;
  const Functions& functions_;
};

class HostExecutable : public Executable {
 public:
  HostExecutable(std::shared_ptr<const Plan> plan, const Functions& functions)
      : plan_(std::move(plan)), functions_(functions) {}
  Result<std::shared_ptr<const Prepared>> prepare(const DimBindings& dims, int) override {
    return std::shared_ptr<const Prepared>(std::make_shared<HostPrepared>(plan_, dims, functions_));
  }

 private:
  std::shared_ptr<const Plan> plan_;
  const Functions& functions_;
};

}  // namespace

Result<Functions> compile_for_host(const cuda::KernelSources& sources, const std::filesystem::path& folder) {
  const std::vector<std::string> programs = sources.programs();
  std::vector<Functions> functions(programs.size());
  std::vector<Status> statuses(programs.size());
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < programs.size(); i = next++) {
      std::vector<std::string> names;
      statuses[i] = compile(programs[i], folder / fmt::format("kernels_{}", i), functions[i], names);
    }
  };
  {
    const std::jthread other(work);
    work();
  }
  Functions all;
  for (size_t i = 0; i < programs.size(); ++i) {
    HR_TRY(statuses[i]);
    all.merge(functions[i]);
  }
  return all;
}

Result<std::unique_ptr<Executable>> HostKernels::load(std::shared_ptr<const Plan> plan) {
  return std::unique_ptr<Executable>(std::make_unique<HostExecutable>(std::move(plan), functions_));
}

}  // namespace headrace::test
