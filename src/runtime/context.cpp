#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/host.h"
#include "core/units.h"
#include "runtime/binding.h"
#include "runtime/context_impl.h"
#include "runtime/memory_limit.h"
#include "runtime/strided_copy.h"

namespace headrace::runtime {

// One run at a time: a second one is refused, not queued, since it would wait on memory that it shares.
class ContextImpl::RunMark {
 public:
  explicit RunMark(std::atomic<bool>& running) : running_(running), taken_(!running.exchange(true)) {}
  ~RunMark() {
    if (taken_) running_ = false;
  }
  RunMark(const RunMark&) = delete;
  RunMark& operator=(const RunMark&) = delete;
  Status status() const {
    if (taken_) return {};
    return invalid_argument("this context is running already; make one context for each thread");
  }

 private:
  std::atomic<bool>& running_;
  const bool taken_;
};

ContextImpl::ContextImpl(std::shared_ptr<EngineImpl> engine, std::shared_ptr<Pool> pool,
                         const ContextOptions& options)
    : engine_(std::move(engine)),
      pool_(std::move(pool)),
      shares_pool_(options.pool != nullptr),
      plan_(engine_->plan()),
      threads_(options.threads > 0 ? options.threads : usable_cpus()),
      prepared_limit_(options.prepared_shapes > 0  ? static_cast<size_t>(options.prepared_shapes)
                      : engine_->device().queued() ? 256
                                                   : 16),
      arena_(pool_->arena()),
      streamer_(engine_->device(), engine_->file(), engine_->identity(), pool_->scratch(),
                shares_pool_ ? Ahead::kOfThisRun : Ahead::kOfTheNextToo),
      buffers_(plan_.buffers.size()),
      rows_(plan_.weights.size()),
      output_buffers_(plan_.outputs.size(), kNone),
      group_buffers_(plan_.groups.size()),
      step_times_(plan_.steps.size()) {
  for (size_t i = 0; i < plan_.buffers.size(); ++i) {
    const Buffer& buffer = plan_.buffers[i];
    const auto index = static_cast<size_t>(buffer.index);
    if (buffer.kind == BufferKind::kOutput) output_buffers_[index] = static_cast<BufferIndex>(i);
    if (buffer.kind == BufferKind::kLiteral) buffers_[i] = engine_->literal(index);
    const bool by_address = buffer.kind == BufferKind::kWeight &&
                            (engine_->device().queued() || plan_.weights[index].use == WeightUse::kWhole);
    if (by_address) {
      group_buffers_[static_cast<size_t>(plan_.weights[index].group)].push_back(static_cast<BufferIndex>(i));
    }
  }
  if (QueuedDevice* const device = engine_->device().queued()) {
    queued_run_ = std::make_unique<QueuedRun>(*device, engine_->file(), *pool_);
  } else {
    queue_ = engine_->device().make_queue();
  }
  engine_->enroll(*this);
}

ContextImpl::~ContextImpl() {
  engine_->leave(*this);
  const DriverWatch watch(engine_->device());
  queued_run_.reset();  // waits for its runs
  shapes_.clear();
  states_.clear();
  (void)arena_.resize({});
}

Result<DimBindings> ContextImpl::bind(std::span<const Tensor> inputs) const {
  return bind_symbols(plan_, inputs);
}

Result<std::vector<Sizes>> ContextImpl::output_shapes(const DimBindings& dims) const {
  std::vector<Sizes> shapes;
  for (const OutputSpec& output : plan_.outputs) {
    if (output.kind != OutputKind::kTensor) {
      shapes.emplace_back();
      continue;
    }
    HR_ASSIGN(Sizes shape, evaluate(output.shape, dims));
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

// A call whose shapes are those of an earlier one costs one comparison of a few numbers.
Result<const ShapePlan*> ContextImpl::find_shape(std::span<const Tensor> inputs) {
  key_.clear();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& input = inputs[i];
    const InputKind kind = i < plan_.inputs.size() ? plan_.inputs[i].kind : InputKind::kConstant;
    if (kind == InputKind::kConstant) {
      key_.push_back(-1);
      continue;
    }
    key_.push_back(static_cast<int64_t>(input.dtype()) * 2 + (input.data() != nullptr));
    key_.push_back(static_cast<int64_t>(input.shape().size()));
    key_.insert(key_.end(), input.shape().begin(), input.shape().end());
    const bool is_number = kind == InputKind::kNumber && input.dtype() == DType::kI64 && input.data();
    if (is_number) key_.push_back(*input.as<int64_t>());
  }
  const auto found = std::find_if(shapes_.begin(), shapes_.end(),
                                  [this](const PreparedShape& entry) { return entry.key == key_; });
  if (found != shapes_.end()) {
    if (found != shapes_.begin()) std::rotate(shapes_.begin(), found, found + 1);
    return shapes_.front().shape.get();
  }
  HR_ASSIGN(const DimBindings dims, bind_symbols(plan_, inputs));
  const DriverWatch watch(engine_->device());
  HR_ASSIGN(auto shape, engine_->shape_plan(dims, threads_));
  if (shapes_.size() >= prepared_limit_) shapes_.pop_back();
  shapes_.insert(shapes_.begin(), PreparedShape{key_, std::move(shape), {}});
  return shapes_.front().shape.get();
}

Status ContextImpl::check_outputs(const ShapePlan& shape, std::span<const Tensor> outputs) const {
  if (outputs.size() != plan_.outputs.size()) {
    return invalid_argument("the engine has {} outputs; {} tensors were given to write them to",
                            plan_.outputs.size(), outputs.size());
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputSpec& spec = plan_.outputs[i];
    if (spec.kind == OutputKind::kNoneValue) continue;
    const DType dtype = spec.kind == OutputKind::kNumber ? DType::kI64 : spec.dtype;
    const Tensor& given = outputs[i];
    if (given.dtype() != dtype || given.shape() != shape.outputs[i].shape) {
      return invalid_argument("output '{}' is {} {}; the tensor to write it to is {} {}", spec.name,
                              dtype_name(dtype), to_text(shape.outputs[i].shape), dtype_name(given.dtype()),
                              to_text(given.shape()));
    }
    if (!given.data() && shape.outputs[i].size > Bytes{}) {
      return invalid_argument("output '{}': the tensor to write it to has no memory", spec.name);
    }
  }
  return {};
}

MemoryNeed ContextImpl::need_of(const ShapePlan& shape, Bytes arena) const {
  return memory_need_of(plan_, engine_->planner(), engine_->always_resident(), shape, engine_->counted(arena),
                        engine_->driver_charged());
}

// Gives resident weights and scratch what the limit leaves beside the rest.
Status ContextImpl::take_room(const MemoryNeed& need) {
  HR_TRY(engine_->set_room(*this, room_for(need)));
  room_ = room_for(need);
  charged_ = need.driver;
  return {};
}

// What the driver takes for code and captured runs shows as they are made: resident weights make room for it.
Status ContextImpl::charge_driver(const ShapePlan& shape) {
  if (!limit_ || !queued_run_ || engine_->driver_taken() <= charged_) return {};
  HR_TRY(settle());
  give_up_scratch();
  const MemoryNeed need = need_of(shape, pool_->arena().size());
  if (need.least > *limit_) return limit_too_small(engine_->file(), *limit_, need, shape.dims);
  return take_room(need);
}

Status ContextImpl::make_arena(const ShapePlan& shape, Bytes arena) {
  if (arena > arena_.size() || !arena_.is_there()) HR_TRY(grow_arena(shape, arena));
  arena_data_ = arena_.data();
  return {};
}

Status ContextImpl::grow_arena(const ShapePlan& shape, Bytes arena) {
  HR_TRY(settle());  // where the device reserves no addresses, the former one goes
  const DriverWatch watch(engine_->device());
  if (limit_) {
    give_up_scratch();
    const MemoryNeed need = need_of(shape, arena);
    if (need.least > *limit_) return limit_too_small(engine_->file(), *limit_, need, shape.dims);
    HR_TRY(take_room(need));
  }
  Status status = arena_.resize(arena);
  if (status.code() == Code::kExhausted && engine_->weight_budget_is_auto()) {
    HR_TRY(engine_->give_way(engine_->counted(arena) - pool_->arena().size()));
    status = arena_.resize(arena);
  }
  HR_TRY(status);
  workspace_bytes_ = std::max(workspace_bytes_.load(), shape.workspace.count);
  return {};
}

Status ContextImpl::make_states(const ShapePlan& shape) {
  for (size_t i = 0; i < plan_.states.size(); ++i) {
    if (i == states_.size()) {
      HR_ASSIGN(Allocation state, engine_->device().allocate(shape.states[i], "states"));
      state_bytes_ += state.size().count;
      states_.push_back(std::move(state));
    } else if (whole_pages(shape.states[i]) > states_[i].size()) {
      return unsupported("state '{}' has {} bytes and would need {} for these inputs", plan_.states[i].name,
                         states_[i].size().count, shape.states[i].count);
    }
  }
  return {};
}

void ContextImpl::drop_scratch() {
  const DriverWatch watch(engine_->device());
  if (queued_run_) queued_run_->drop();
  streamer_.drop();
  version_ = 0;
}

// So that what comes instead fits into the limit beside it.
void ContextImpl::give_up_scratch() {
  const RunGate::Run run(engine_->gate());  // a budget change drops it too
  drop_scratch();
}

Status ContextImpl::configure_streams(const std::vector<bool>& resident, Bytes scratch_limit) {
  const WeightPlanner& planner = engine_->planner();
  if (queued_run_) {
    const DriverWatch watch(engine_->device());
    return queued_run_->configure(planner.schedule(resident, scratch_limit), engine_->source());
  }
  return streamer_.configure(planner.schedule(resident, scratch_limit), planner.row_buffer(resident));
}

// Where gathers find the rows of the weights that are read by rows, on the host.
void ContextImpl::place_rows(const std::vector<bool>& resident) {
  if (queued_run_) return;
  memory_rows_.clear();
  file_rows_.clear();
  memory_rows_.reserve(rows_.size());
  file_rows_.reserve(rows_.size());
  for (size_t i = 0; i < plan_.weights.size(); ++i) {
    const Weight& weight = plan_.weights[i];
    if (weight.use != WeightUse::kRows) continue;
    const auto group = static_cast<size_t>(weight.group);
    if (resident[group]) {
      const std::byte* data = engine_->residency().group(weight.group) + weight.offset.count;
      rows_[i] = &memory_rows_.emplace_back(weight, data);
    } else {
      const Bytes offset = engine_->file().weights_offset() + plan_.groups[group].offset + weight.offset;
      rows_[i] = &file_rows_.emplace_back(weight, offset, *streamer_.reader(), streamer_.row_buffer());
    }
  }
}

Status ContextImpl::follow_residency() {
  version_ = 0;
  const WeightPlanner& planner = engine_->planner();
  const Residency& residency = engine_->residency();
  const std::vector<bool> resident = residency.resident();
  const Bytes scratch_limit = room_ ? *room_ - planner.resident(resident) : Bytes{INT64_MAX};
  if (planner.least(resident) > scratch_limit) {
    return exhausted("streamed weights need a scratch of {}, but the memory limit leaves {}",
                     to_text(planner.least(resident)), to_text(scratch_limit));
  }
  HR_TRY(configure_streams(resident, scratch_limit));
  for (size_t group = 0; group < group_buffers_.size(); ++group) {
    const std::byte* base = residency.group(static_cast<int32_t>(group));
    for (const BufferIndex buffer : group_buffers_[group]) {
      const Weight& weight =
          plan_.weights[static_cast<size_t>(plan_.buffers[static_cast<size_t>(buffer)].index)];
      const std::byte* at = resident[group] ? base + weight.offset.count : nullptr;
      if (!resident[group] && weight.use == WeightUse::kRows) {
        at = engine_->source()->visible(plan_.groups[group].offset + weight.offset);
      }
      // Kernels only read weights; Addresses has one type for all buffers.
      buffers_[static_cast<size_t>(buffer)] = const_cast<std::byte*>(at);
    }
  }
  place_rows(resident);
  version_ = engine_->version();
  return {};
}

Result<std::vector<Tensor>> ContextImpl::run(std::span<const Tensor> inputs,
                                             std::span<const Tensor> outputs) {
  const RunMark mark(running_);
  HR_TRY(mark.status());
  const Pool::Use use(*pool_);
  HR_TRY(use.status());
  HR_ASSIGN(const ShapePlan* shape, find_shape(inputs));
  if (!outputs.empty() && outputs.size() != plan_.outputs.size()) HR_TRY(check_outputs(*shape, outputs));
  std::vector<Tensor> results(plan_.outputs.size());
  for (size_t i = 0; i < results.size(); ++i) {
    const OutputSpec& spec = plan_.outputs[i];
    if (spec.kind == OutputKind::kNoneValue) continue;
    if (i < outputs.size() && (outputs[i].data() || !outputs[i].shape().empty())) {
      results[i] = outputs[i];
      continue;
    }
    const DType dtype = spec.kind == OutputKind::kNumber ? DType::kI64 : spec.dtype;
    HR_ASSIGN(results[i], Tensor::make(dtype, shape->outputs[i].shape));
  }
  HR_TRY(run_marked(*shape, inputs, results));
  return results;
}

Status ContextImpl::run_into(std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  const RunMark mark(running_);
  HR_TRY(mark.status());
  const Pool::Use use(*pool_);
  HR_TRY(use.status());
  HR_ASSIGN(const ShapePlan* shape, find_shape(inputs));
  return run_marked(*shape, inputs, outputs);
}

Status ContextImpl::set_memory_limit(std::optional<Bytes> limit) {
  const RunMark mark(running_);
  HR_TRY(mark.status());
  if (limit && *limit < Bytes{}) {
    return invalid_argument("a memory limit is not negative: {} bytes", limit->count);
  }
  if (limit && shares_pool_) {
    return unsupported(
        "a memory limit is for what one context holds; a context in a shared pool can have none");
  }
  if (!limit) {
    HR_TRY(engine_->set_room(*this, std::nullopt));
    limit_.reset();
    room_.reset();
    return {};
  }
  const DimBindings opt = opt_bindings(plan_.symbols);
  HR_ASSIGN(const auto shape, engine_->shape_plan(opt, threads_));
  const MemoryNeed need = need_of(*shape, engine_->arena_of(*shape));
  if (need.least > *limit) return limit_too_small(engine_->file(), *limit, need, opt);
  HR_TRY(settle());
  const DriverWatch watch(engine_->device());
  const std::optional<Bytes> before = std::exchange(limit_, limit);
  (void)arena_.resize({});  // made again for the next run, inside the new limit
  give_up_scratch();
  const Status status = take_room(need);
  if (!status.ok()) limit_ = before;
  return status;
}

MemoryReport ContextImpl::memory() const {
  MemoryReport report;
  report.streamable = engine_->streamable();
  report.weight_budget = engine_->weight_budget();
  report.resident = engine_->resident();
  report.always_resident = engine_->always_resident();
  report.scratch = pool_->scratch().size();
  report.arena = pool_->arena().size();
  report.workspace = {workspace_bytes_};
  report.states = {state_bytes_};
  report.device_used = engine_->device().used();
  report.device_peak = engine_->device().peak();
  if (pool_->device() != &engine_->device()) {  // the host's, counted at another engine
    report.device_used += report.scratch + report.arena;
    report.device_peak += report.scratch + report.arena;
  }
  if (const QueuedDevice* const device = engine_->device().queued()) report.driver = device->driver_bytes();
  report.host_pinned = engine_->host_pinned();
  report.link_rate = link_rate().get();
  std::lock_guard lock(report_mutex_);
  report.streamed_last_run = last_.streamed;
  report.last_run_ns = last_run_ns_;
  report.last_read_ns = last_.read_ns;
  report.last_wait_ns = last_.wait_ns;
  return report;
}

}  // namespace headrace::runtime
