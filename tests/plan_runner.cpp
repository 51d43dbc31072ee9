#include "plan_runner.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "device_blocks.h"
#include "engine/engine_format.h"

namespace headrace::test {

namespace {

constexpr size_t kGuard = 64;
constexpr std::byte kPoison{0xff};
constexpr std::byte kGuardByte{0xa5};

// A block that is aligned as the runtime's are, between guards.
class Block {
 public:
  explicit Block(int64_t size = 0)
      : size_(static_cast<size_t>(size)), memory_(size_ + 3 * kGuard, kGuardByte) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    start_ = (kGuard - address % kGuard) % kGuard + kGuard;
    poison();
    forbid_guards();
  }
  Block(Block&&) = default;  // the vector's memory stays where it is
  std::byte* data() { return memory_.data() + start_; }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() { return {data(), size_}; }
  void poison() { std::fill_n(data(), size_, kPoison); }
  bool intact() const {
    if (kWatched) return true;
    const auto is_guard = [](std::byte byte) { return byte == kGuardByte; };
    const auto begin = memory_.begin() + static_cast<ptrdiff_t>(start_);
    return std::all_of(memory_.begin(), begin, is_guard) &&
           std::all_of(begin + static_cast<ptrdiff_t>(size_), memory_.end(), is_guard);
  }

 private:
  // Under AddressSanitizer reads beside a block are found too, where they happen.
#ifdef __SANITIZE_ADDRESS__
  static constexpr bool kWatched = true;
  void forbid_guards() {
    ASAN_POISON_MEMORY_REGION(memory_.data(), start_);
    ASAN_POISON_MEMORY_REGION(data() + size_, memory_.size() - start_ - size_);
  }
#else
  static constexpr bool kWatched = false;
  void forbid_guards() {}
#endif

  size_t size_;
  std::vector<std::byte> memory_;
  size_t start_ = 0;
};

class MemoryRows : public RowSource {
 public:
  MemoryRows(std::span<const std::byte> bytes, int64_t rows)
      : bytes_(bytes), row_(rows ? bytes.size() / static_cast<size_t>(rows) : 0) {}
  Status gather(std::span<const int64_t> indices, std::byte* out) override {
    for (size_t i = 0; i < indices.size(); ++i)
      std::memcpy(out + i * row_, bytes_.data() + static_cast<size_t>(indices[i]) * row_, row_);
    return {};
  }

 private:
  std::span<const std::byte> bytes_;
  size_t row_;
};

class NoQueue : public Queue {
 public:
  Status synchronize() override { return {}; }
};

struct Run {
  const Plan& plan;
  DimBindings dims;
  std::vector<Block> blocks;  // by buffer
  std::vector<std::unique_ptr<RowSource>> rows;

  Status check_lifetime(const Step& step, StepIndex index) const;
  // Whether the arena's buffer is touched by `step` last, and not after.
  bool ends_with(size_t buffer, StepIndex step) const;
  Result<HostTensor> read(TensorIndex tensor);
};

Status Run::check_lifetime(const Step& step, StepIndex index) const {
  for (const auto* operands : {&step.inputs, &step.outputs})
    for (const TensorIndex tensor : *operands) {
      if (tensor == kNone) continue;
      const Buffer& buffer =
          plan.buffers[static_cast<size_t>(plan.tensors[static_cast<size_t>(tensor)].buffer)];
      if (buffer.kind == BufferKind::kArena && (index < buffer.first_step || index > buffer.last_step))
        return internal_error("step {} '{}' uses a buffer that lives from step {} to {}", index, step.label,
                              buffer.first_step, buffer.last_step);
    }
  return {};
}

bool Run::ends_with(size_t buffer, StepIndex step) const {
  return plan.buffers[buffer].kind == BufferKind::kArena && plan.buffers[buffer].last_step == step &&
         static_cast<size_t>(step) + 1 < plan.steps.size();
}

Result<HostTensor> Run::read(TensorIndex index) {
  const PlanTensor& tensor = plan.tensors[static_cast<size_t>(index)];
  HostTensor result;
  result.dtype = tensor.dtype;
  HR_ASSIGN(result.shape, evaluate(std::span<const Dim>(tensor.shape), dims));
  HR_ASSIGN(const Sizes strides, evaluate(std::span<const Dim>(tensor.strides), dims));
  HR_ASSIGN(const int64_t offset, tensor.offset.evaluate(dims));
  const auto size = static_cast<size_t>(dtype_size(tensor.dtype));
  const auto count = static_cast<size_t>(element_count(std::span<const int64_t>(result.shape)));
  result.bytes.resize(count * size);
  const Sizes dense = row_major_strides(std::span<const int64_t>(result.shape));
  const std::byte* from = blocks[static_cast<size_t>(tensor.buffer)].data();
  for (size_t i = 0; i < count; ++i) {
    int64_t at = offset, rest = static_cast<int64_t>(i);
    for (size_t axis = 0; axis < dense.size(); ++axis) {
      at += rest / dense[axis] * strides[axis];
      rest %= dense[axis];
    }
    std::memcpy(result.bytes.data() + i * size, from + static_cast<size_t>(at) * size, size);
  }
  return result;
}

Status copy_in(Block& block, std::span<const std::byte> bytes, std::string_view what) {
  if (bytes.size() > block.size())
    return internal_error("{} has {} bytes, its buffer {}", what, bytes.size(), block.size());
  std::copy(bytes.begin(), bytes.end(), block.data());
  return {};
}

}  // namespace

Result<DimBindings> bind_symbols(const Plan& plan, std::span<const HostTensor> inputs) {
  if (inputs.size() != plan.inputs.size())
    return invalid_argument("{} inputs were given, the plan takes {}", inputs.size(), plan.inputs.size());
  DimBindings dims;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const InputSpec& spec = plan.inputs[i];
    if (spec.kind == InputKind::kNumber)
      std::memcpy(&dims[spec.symbol], inputs[i].bytes.data(), sizeof(int64_t));
    if (spec.kind != InputKind::kTensor) continue;
    if (inputs[i].shape.size() != spec.shape.size() || inputs[i].dtype != spec.dtype)
      return invalid_argument("input '{}' has another rank or dtype than the plan says", spec.name);
    for (size_t axis = 0; axis < spec.shape.size(); ++axis)
      if (spec.shape[axis].kind() == Dim::Kind::kSymbol)
        dims[spec.shape[axis].name()] = inputs[i].shape[axis];
  }
  return dims;
}

namespace {

// An engine file must give back what was written. As bytes: a NaN among the attributes equals nothing.
Status check_round_trip(const Plan& plan) {
  HR_ASSIGN(const std::vector<std::byte> written, encode_metadata(plan));
  HR_ASSIGN(const Metadata read, decode_metadata(written));
  HR_ASSIGN(const std::vector<std::byte> again, encode_metadata(read.plan));
  if (again != written) return internal_error("the plan changes on its way through an engine file");
  return {};
}

Status run_on_host(const Prepared& prepared, std::span<std::byte* const> addresses,
                   std::span<RowSource* const> rows, Run& run) {
  const Plan& plan = run.plan;
  NoQueue queue;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto index = static_cast<StepIndex>(i);
    HR_TRY(run.check_lifetime(plan.steps[i], index));
    Block workspace(prepared.workspace(index).count);
    HR_TRY(prepared.enqueue(index, {addresses, rows, workspace.data()}, queue));
    if (!workspace.intact()) return internal_error("step {} '{}' left its workspace", i, plan.steps[i].label);
    for (size_t b = 0; b < run.blocks.size(); ++b) {
      if (!run.blocks[b].intact())
        return internal_error("step {} '{}' left buffer {}", i, plan.steps[i].label, b);
      if (run.ends_with(b, index)) run.blocks[b].poison();
    }
  }
  return {};
}

// Each step by itself, so that a failure is the step's; then all of them captured and launched as a graph,
// which must give the same bytes. The host's blocks are what the device's hold before and after.
Status run_on_device(QueuedDevice& device, const Prepared& prepared, Run& run) {
  const Plan& plan = run.plan;
  HR_ASSIGN(const std::unique_ptr<WorkQueue> queue, device.make_work_queue());
  DeviceBlocks blocks(device, *queue);
  std::vector<std::byte*> addresses, workspaces;
  for (Block& block : run.blocks) {
    HR_ASSIGN(std::byte* const address, blocks.add(block.bytes(), "a buffer of a test"));
    addresses.push_back(address);
  }
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const std::vector<std::byte> poison(
        static_cast<size_t>(prepared.workspace(static_cast<StepIndex>(i)).count), kPoison);
    HR_ASSIGN(std::byte* const address, blocks.add(poison, "a workspace of a test"));
    workspaces.push_back(address);
  }
  const std::vector<RowSource*> rows(plan.weights.size(), nullptr);
  const auto enqueue = [&](size_t i) {
    return prepared.enqueue(static_cast<StepIndex>(i), {addresses, rows, workspaces[i]}, *queue);
  };
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto index = static_cast<StepIndex>(i);
    HR_TRY(run.check_lifetime(plan.steps[i], index));
    HR_TRY(enqueue(i));
    HR_TRY(queue->synchronize().with_context(fmt::format("step {} '{}'", i, plan.steps[i].label)));
    for (size_t b = 0; b < run.blocks.size(); ++b)
      if (run.ends_with(b, index)) {
        run.blocks[b].poison();
        HR_TRY(blocks.write(b, run.blocks[b].bytes()));
      }
  }
  std::vector<std::vector<std::byte>> first;
  for (size_t b = 0; b < run.blocks.size(); ++b) {
    first.emplace_back(run.blocks[b].size());
    HR_TRY(blocks.read(b, first.back()));
  }
  HR_TRY(queue->begin_capture());
  Status captured;
  for (size_t i = 0; i < plan.steps.size() && captured.ok(); ++i) captured = enqueue(i);
  Result<std::unique_ptr<WorkGraph>> graph = queue->end_capture();
  HR_TRY(captured.with_context("while capturing"));
  HR_TRY(graph.status().with_context("the end of a capture"));
  HR_TRY(queue->launch(**graph));
  HR_TRY(queue->synchronize().with_context("the steps as a graph"));
  for (size_t b = 0; b < run.blocks.size(); ++b) {
    HR_TRY(blocks.read(b, run.blocks[b].bytes()));
    const bool is_result = plan.buffers[b].kind == BufferKind::kOutput;
    if (is_result && !std::ranges::equal(run.blocks[b].bytes(), first[b]))
      return internal_error("a graph of the same steps gives other bytes in buffer {}", b);
  }
  std::vector<std::byte> workspace;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    workspace.resize(static_cast<size_t>(prepared.workspace(static_cast<StepIndex>(i)).count));
    HR_TRY(blocks.read(run.blocks.size() + i, workspace)
               .with_context(fmt::format("the workspace of step {} '{}'", i, plan.steps[i].label)));
  }
  return {};
}

}  // namespace

Result<PlanRunner> PlanRunner::create(Plan plan, Kernels& kernels, const Packer* packer,
                                      const Evaluator& evaluator, const WeightSourceReader& reader,
                                      QueuedDevice* device) {
  HR_TRY(verify(plan).with_context("the plan"));
  HR_TRY(check_round_trip(plan));
  PlanRunner runner;
  runner.device_ = device;
  for (const Weight& weight : plan.weights) {
    std::vector<std::byte>& bytes = runner.weights_.emplace_back();
    HR_TRY(evaluate_recipe(weight, plan.sources, reader, packer, &evaluator, bytes));
    if (static_cast<int64_t>(bytes.size()) != weight.stored.count)
      return internal_error("weight '{}' has {} bytes, its recipe makes {}", weight.name, weight.stored.count,
                            bytes.size());
  }
  runner.plan_ = std::make_shared<const Plan>(std::move(plan));
  HR_ASSIGN(runner.executable_, kernels.load(runner.plan_));
  return runner;
}

Result<std::vector<HostTensor>> PlanRunner::run(std::span<const HostTensor> inputs, int threads) {
  const Plan& plan = *plan_;
  HR_ASSIGN(DimBindings dims, bind_symbols(plan, inputs));
  Run run{plan, std::move(dims), {}, {}};
  run.rows.resize(plan.weights.size());
  for (const Buffer& buffer : plan.buffers) {
    HR_ASSIGN(const int64_t size, buffer.size.evaluate(run.dims));
    Block& block = run.blocks.emplace_back(size);
    const auto index = static_cast<size_t>(buffer.index);
    if (buffer.kind == BufferKind::kInput) HR_TRY(copy_in(block, inputs[index].bytes, "an input"));
    if (buffer.kind == BufferKind::kLiteral) HR_TRY(copy_in(block, plan.literals[index].bytes, "a literal"));
    if (buffer.kind == BufferKind::kWeight) HR_TRY(copy_in(block, weights_[index], plan.weights[index].name));
    if (buffer.kind == BufferKind::kState) std::fill_n(block.data(), block.size(), std::byte{0});
  }
  std::vector<std::byte*> addresses;
  std::vector<RowSource*> rows(plan.weights.size(), nullptr);
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const Buffer& buffer = plan.buffers[i];
    addresses.push_back(run.blocks[i].data());
    if (buffer.kind != BufferKind::kWeight) continue;
    const auto weight = static_cast<size_t>(buffer.index);
    if (plan.weights[weight].use != WeightUse::kRows) continue;
    addresses.back() = nullptr;
    run.rows[weight] = std::make_unique<MemoryRows>(weights_[weight], plan.weights[weight].shape[0]);
    rows[weight] = run.rows[weight].get();
  }
  HR_ASSIGN(const std::shared_ptr<const Prepared> prepared, executable_->prepare(run.dims, threads));
  if (device_) {
    HR_TRY(run_on_device(*device_, *prepared, run));
  } else {
    HR_TRY(run_on_host(*prepared, addresses, rows, run));
  }
  std::vector<HostTensor> outputs;
  for (const OutputSpec& spec : plan.outputs) {
    HostTensor& output = outputs.emplace_back();
    if (spec.kind == OutputKind::kTensor) {
      HR_ASSIGN(output, run.read(spec.tensor));
    } else if (spec.kind == OutputKind::kNumber) {
      HR_ASSIGN(const int64_t number, spec.number.evaluate(run.dims));
      output = {DType::kI64, {}, std::vector<std::byte>(sizeof(number))};
      std::memcpy(output.bytes.data(), &number, sizeof(number));
    }
  }
  return outputs;
}

}  // namespace headrace::test
