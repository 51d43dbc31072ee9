#include "runtime/engine.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/host.h"
#include "core/units.h"
#include "runtime/binding.h"
#include "runtime/context_impl.h"
#include "runtime/engine_impl.h"
#include "runtime/memory_limit.h"

namespace headrace::runtime {
namespace {

// What auto leaves to others: a tenth of what is free, and room for what nobody counts (stacks, libraries).
constexpr Bytes kAutoMargin = mib(64);

Status check_places(const EngineFile& file) {
  const Plan& plan = file.plan();
  if (file.weights_offset().count % kReadAlignment.count != 0) {
    return corrupt("'{}': the weights begin at {}, which is not a multiple of {}", file.path().string(),
                   file.weights_offset().count, kReadAlignment.count);
  }
  for (const WeightGroup& group : plan.groups) {
    if (group.offset.count % kReadAlignment.count != 0 || group.offset < Bytes{} || group.size < Bytes{} ||
        group.size > file.size() || file.weights_offset() + group.offset > file.size() - group.size) {
      return corrupt("'{}': a weight group of {} bytes at {} leaves the file", file.path().string(),
                     group.size.count, group.offset.count);
    }
  }
  for (const Weight& weight : plan.weights) {
    const bool grouped = weight.group >= 0 && static_cast<size_t>(weight.group) < plan.groups.size();
    if (!grouped || weight.offset < Bytes{} || weight.stored < Bytes{} ||
        weight.offset + weight.stored > plan.groups[static_cast<size_t>(weight.group)].size) {
      return corrupt("'{}': weight '{}' lies in no group", file.path().string(), weight.name);
    }
    const bool has_rows = !weight.shape.empty() && weight.shape[0] > 0;
    const bool whole_rows = has_rows && weight.stored.count % weight.shape[0] == 0;
    if (weight.use == WeightUse::kRows && (weight.offset != Bytes{} || (has_rows && !whole_rows))) {
      return corrupt("'{}': weight '{}' has {} bytes for {} rows, or does not begin its group",
                     file.path().string(), weight.name, weight.stored.count,
                     weight.shape.empty() ? 0 : weight.shape[0]);
    }
  }
  for (const OutputSpec& output : plan.outputs) {
    if (output.kind != OutputKind::kTensor) continue;
    const Buffer& buffer =
        plan.buffers[static_cast<size_t>(plan.tensors[static_cast<size_t>(output.tensor)].buffer)];
    if (buffer.kind != BufferKind::kWeight) continue;
    const Weight& weight = plan.weights[static_cast<size_t>(buffer.index)];
    if (weight.use == WeightUse::kRows) {
      return corrupt("'{}': output '{}' is weight '{}', of which only rows are read", file.path().string(),
                     output.name, weight.name);
    }
  }
  return {};
}

// On a queued device: the weights of the file, as a source of copies. Does nothing where it is open.
Status open_source(Device& device, const EngineFile& file, Bytes host_limit, WeightSource& source) {
  QueuedDevice* const queued = device.queued();
  if (!queued || source.source) return {};
  source.begin = file.weights_offset();
  for (const WeightGroup& group : file.plan().groups) {
    source.size = std::max(source.size, group.offset + group.size);
  }
  if (source.size == Bytes{}) return {};
  HR_ASSIGN(source.source,
            queued->open_source(file.fd(), source.begin, source.size, host_limit, file.path().string()));
  return {};
}

RowAccess row_access(const WeightSource& source) {
  if (!source.source) return RowAccess::kBuffered;
  return source.source->visible({}) ? RowAccess::kInPlace : RowAccess::kWhole;
}

}  // namespace

Result<std::shared_ptr<Engine>> Engine::open(EngineFile file, std::unique_ptr<Kernels> kernels,
                                             std::shared_ptr<Device> device, EngineOptions options) {
  HR_TRY(check_places(file));
  HR_ASSIGN(const FileIdentity identity, FileIdentity::of(file));
  const Bytes host_limit = options.host_limit.value_or(host_memory_available());
  WeightSource source;
  {
    const DriverWatch watch(*device);  // the driver keeps tables of the pages that it pins
    HR_TRY(open_source(*device, file, host_limit, source));
  }
  auto engine = std::make_shared<EngineImpl>(std::move(file), std::move(device), identity, std::move(source),
                                             host_limit);
  HR_TRY(engine->start(*kernels, options));
  return std::shared_ptr<Engine>(std::move(engine));
}

EngineImpl::EngineImpl(EngineFile file, std::shared_ptr<Device> device, FileIdentity identity,
                       WeightSource source, Bytes host_limit)
    : file_(std::move(file)),
      device_(std::move(device)),
      identity_(identity),
      source_(std::move(source)),
      host_limit_(host_limit),
      host_pinned_(source_.source ? source_.source->host_bytes().count : 0),
      planner_(file_.plan(), row_access(source_), device_->growth_unit(),
               device_->queued() ? Ahead::kOfThisRun : Ahead::kOfTheNextToo),
      residency_(*device_, file_, identity, source_) {
  const std::vector<bool> all(planner_.groups().size(), true);
  if (QueuedDevice* const queued = device_->queued())
    lost_of_all_ = lost_in_blocks(planner_.groups(), all, queued->block());
}

EngineImpl::~EngineImpl() {
  const DriverWatch watch(*device_);  // what goes is no longer charged to others
  residency_.drop();
  unpin_source();
  literals_ = {};
  opt_shape_.reset();
  executable_.reset();
}

Status EngineImpl::start(Kernels& kernels, const EngineOptions& options) {
  if (options.weight_budget && *options.weight_budget < Bytes{}) {
    return invalid_argument("a weight budget is not negative: {} bytes", options.weight_budget->count);
  }
  const DriverWatch watch(*device_);
  HR_ASSIGN(executable_, kernels.load(file_.shared_plan()));
  HR_TRY(load_literals());
  for (const GroupUse& group : planner_.groups()) {
    if (!group.streamable) always_resident_ += group.size;
  }
  std::lock_guard lock(change_mutex_);
  requested_ = options.weight_budget;
  is_auto_ = !requested_;
  if (!requested_) automatic_ = automatic_weight_budget();
  return apply(options.progress);
}

Status EngineImpl::load_literals() {
  constexpr int64_t kAlign = 64;
  Bytes size;
  for (const Literal& literal : plan().literals) {
    literal_offsets_.push_back(size);
    size += {(static_cast<int64_t>(literal.bytes.size()) + kAlign - 1) / kAlign * kAlign};
  }
  HR_ASSIGN(literals_, device_->allocate(size, "literals"));
  std::unique_ptr<WorkQueue> queue;
  if (QueuedDevice* const queued = device_->queued(); queued && size > Bytes{}) {
    HR_ASSIGN(queue, queued->make_work_queue());
  }
  for (size_t i = 0; i < plan().literals.size(); ++i) {
    const auto& bytes = plan().literals[i].bytes;
    if (bytes.empty()) continue;
    if (queue) {
      HR_TRY(queue->copy(literal(i), bytes.data(), {static_cast<int64_t>(bytes.size())}));
    } else {
      std::memcpy(literal(i), bytes.data(), bytes.size());
    }
  }
  if (queue) HR_TRY(queue->synchronize());
  always_resident_ += literals_.size();
  return {};
}

Result<std::shared_ptr<const ShapePlan>> EngineImpl::shape_plan(const DimBindings& dims, int threads) const {
  const bool is_opt = dims == opt_bindings(plan().symbols);
  const DriverWatch watch(*device_);
  if (!is_opt) return make_shape_plan(plan(), *executable_, dims, threads);
  std::lock_guard lock(opt_mutex_);
  if (!opt_shape_ || opt_threads_ != threads) {
    HR_ASSIGN(opt_shape_, make_shape_plan(plan(), *executable_, dims, threads));
    opt_threads_ = threads;
  }
  return opt_shape_;
}

Bytes EngineImpl::automatic_beside(Bytes arena) const {
  const Bytes free = device_->available() + resident();
  const Bytes margin = Bytes{free.count / 10} + kAutoMargin;
  return planner_.fit(std::max(Bytes{}, free - margin - arena)).value_or(Bytes{});
}

Bytes EngineImpl::automatic_weight_budget() const {
  const DimBindings opt = opt_bindings(plan().symbols);
  const auto arena = arena_without_workspace(plan(), opt);
  const Bytes guess = arena.ok() ? *arena : Bytes{};
  // Kernels are prepared for the exact arena only where memory is so short that it counts.
  if (const Bytes budget = automatic_beside(guess + guess); budget == streamable()) return budget;
  const auto shape = shape_plan(opt, usable_cpus());
  return automatic_beside(shape.ok() ? arena_of(**shape) : guess);
}

Status EngineImpl::give_way(Bytes arena) {
  std::lock_guard lock(change_mutex_);
  if (requested_) return {};
  const Bytes before = std::exchange(automatic_, std::min(automatic_, automatic_beside(arena)));
  Status status = apply({});
  if (!status.ok()) automatic_ = before;
  return status;
}

Result<Bytes> EngineImpl::budget_within_rooms() const {
  Bytes budget = std::min(requested_.value_or(automatic_), streamable());
  for (const Member& member : members_) {
    if (!member.room) continue;
    const auto fits = planner_.fit(*member.room, pace_);
    if (!fits)
      return exhausted("streamed weights need {}, but have {}", to_text(planner_.least()),
                       to_text(*member.room));
    budget = std::min(budget, *fits);
  }
  // A smaller budget may stream a group that a larger one kept, and need more scratch for it.
  for (bool changed = true; changed;) {
    changed = false;
    const std::vector<bool> set = planner_.choose(budget, pace_);
    for (const Member& member : members_) {
      if (!member.room || planner_.resident(set) + planner_.least(set) <= *member.room) continue;
      const Bytes safe = std::max(Bytes{}, *member.room - planner_.least());
      if (safe >= budget) break;
      budget = safe;
      changed = true;
      break;
    }
  }
  return budget;
}

Status EngineImpl::apply(const Progress& progress) {
  HR_ASSIGN(const Bytes budget, budget_within_rooms());
  const std::vector<bool> wanted = planner_.choose(budget, pace_);
  if (wanted != residency_.resident()) HR_TRY(change_residency(wanted, progress));
  budget_ = budget.count;
  return {};
}

Status EngineImpl::change_residency(const std::vector<bool>& wanted, const Progress& progress) {
  const RunGate::Change change(gate_);
  return move_weights(wanted, progress);
}

Status EngineImpl::move_weights(const std::vector<bool>& wanted, const Progress& progress) {
  const DriverWatch watch(*device_);
  HR_TRY(pin_source());
  for (const Member& member : members_) member.context->drop_scratch();
  const auto report = [&progress](Bytes done, Bytes total) {
    return !progress || progress({"load weights", done.count, total.count});
  };
  Status status = residency_.change(wanted, report);
  const std::vector<bool> resident = residency_.resident();
  resident_ = planner_.resident(resident).count;
  if (QueuedDevice* const device = device_->queued())
    lost_ = lost_in_blocks(planner_.groups(), resident, device->block()).count;
  ++version_;
  if (std::find(resident.begin(), resident.end(), false) == resident.end()) unpin_source();
  return status;
}

// What is lost depends on what is resident, which depends on the charge: so it is charged as if all were.
Bytes EngineImpl::driver_taken() const {
  QueuedDevice* const device = device_->queued();
  if (!device) return {};
  return std::max(Bytes{}, device->driver_bytes() - Bytes{lost_}) + lost_of_all_;
}

Bytes EngineImpl::driver_charged() const { return driver_charge(driver_taken()); }

Status EngineImpl::pin_source() {
  if (!device_->queued() || source_.source) return {};
  HR_TRY(open_source(*device_, file_, host_limit_, source_));
  if (source_.source && row_access(source_) != planner_.row_access()) {
    // The plan of what is gathered where it lies was made with the engine.
    const std::string found(source_.source->mechanism());
    unpin_source();
    return unavailable(
        "'{}': the device reads gathered weights where they lie in the file, but now has a {}; "
        "keep the weight budget at {}, or open the engine again",
        file_.path().string(), found, to_text(streamable()));
  }
  host_pinned_ = source_.source ? source_.source->host_bytes().count : 0;
  return {};
}

// Nothing is copied from the file while all of it is resident.
void EngineImpl::unpin_source() {
  source_.source.reset();
  host_pinned_ = 0;
}

Status EngineImpl::set_weight_budget(std::optional<Bytes> budget) {
  if (budget && *budget < Bytes{}) {
    return invalid_argument("a weight budget is not negative: {} bytes", budget->count);
  }
  if (gate_.is_held_here()) {
    return invalid_argument("a weight budget cannot change inside a run (from its progress callback)");
  }
  std::lock_guard lock(change_mutex_);
  take_pace();
  const auto before = std::tuple(requested_, automatic_, pace_);
  requested_ = budget;
  if (!budget) automatic_ = automatic_weight_budget();
  pace_ = replanner_.pace();
  Status status = apply({});
  if (status.ok()) replanner_.planned();
  if (!status.ok()) std::tie(requested_, automatic_, pace_) = before;
  is_auto_ = !requested_;
  return status;
}

Status EngineImpl::set_room(ContextImpl& context, std::optional<Bytes> room) {
  if (gate_.is_held_here()) {
    return invalid_argument(
        "a context with a memory limit cannot be made, or need more memory, inside a run");
  }
  std::lock_guard lock(change_mutex_);
  for (Member& member : members_) {
    if (member.context != &context) continue;
    const std::optional<Bytes> before = std::exchange(member.room, room);
    Status status = apply({});
    if (!status.ok()) member.room = before;
    return status;
  }
  return internal_error("a context is not one of its engine's");
}

void EngineImpl::enroll(ContextImpl& context) {
  std::lock_guard lock(change_mutex_);
  members_.push_back({&context, std::nullopt});
}

void EngineImpl::leave(ContextImpl& context) {
  std::lock_guard lock(change_mutex_);
  take_pace();  // for those that come
  std::erase_if(members_, [&](const Member& member) { return member.context == &context; });
}

Result<std::shared_ptr<Context>> EngineImpl::make_context(ContextOptions options) {
  if (options.threads < 0 || options.prepared_shapes < 0) {
    return invalid_argument(
        "a context takes a number of threads and of prepared shapes (0: as the device likes); {} and {} "
        "were given",
        options.threads, options.prepared_shapes);
  }
  std::shared_ptr<Pool> pool = options.pool ? options.pool : std::make_shared<Pool>();
  HR_TRY(pool->bind(device_));
  auto self = std::static_pointer_cast<EngineImpl>(shared_from_this());
  auto context = std::make_shared<ContextImpl>(std::move(self), std::move(pool), options);
  if (options.memory_limit) HR_TRY(context->set_memory_limit(options.memory_limit));
  return std::shared_ptr<Context>(std::move(context));
}

Result<MemoryNeed> EngineImpl::memory_need(const DimBindings& dims, int threads) {
  HR_TRY(check_profile(plan(), dims));
  HR_ASSIGN(const auto shape, shape_plan(dims, threads > 0 ? threads : usable_cpus()));
  return memory_need_of(plan(), planner_, always_resident_, *shape, counted(arena_of(*shape)),
                        driver_charged());
}

}  // namespace headrace::runtime
