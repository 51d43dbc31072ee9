#include <algorithm>

#include <headrace/headrace.h>
#include "app/backends.h"
#include "app/repack.h"
#include "app/tuning.h"
#include "core/error.h"
#include "core/trace.h"
#include "core/units.h"
#include "device/queued_device.h"
#include "engine/engine_file.h"
#include "runtime/engine.h"
#include "runtime/pool.h"

namespace headrace {

std::string version() { return HEADRACE_VERSION; }

struct Context::State {
  std::unique_ptr<Trace> trace;  // before the context, which writes to it
  std::shared_ptr<runtime::Engine> engine;
  std::shared_ptr<runtime::Context> context;
};

namespace {

// Which of the devices that run engines of `backend` is asked for.
Result<int> device_index(const std::string& asked, const std::string& backend) {
  if (asked.empty()) return 0;
  HR_ASSIGN(const app::DeviceName device, app::parse_device(asked));
  if (device.backend == backend && device.target.empty()) return device.index;
  return invalid_argument("an engine for {} cannot run on '{}'; compile the model for that device", backend,
                          asked);
}

}  // namespace

Result<Engine> Engine::open(const std::filesystem::path& path, const OpenOptions& options) {
  HR_ASSIGN(EngineFile file, EngineFile::open(path));
  HR_ASSIGN(const int index, device_index(options.device, file.plan().backend));
  HR_ASSIGN(const std::shared_ptr<Tuning> tuning, app::make_tuning(options, file.plan().backend == "cuda"));
  HR_ASSIGN(app::RunBackend backend, app::make_run_backend(file.plan().backend, index, tuning));
  if (backend.packer && file.plan().fingerprint != backend.fingerprint) {
    HR_ASSIGN(file, app::repack_engine(std::move(file), backend, options));
  }
  Engine engine;
  HR_ASSIGN(engine.engine_,
            runtime::Engine::open(std::move(file), std::move(backend.kernels), std::move(backend.device),
                                  {options.weight_budget, options.progress, options.host_limit}));
  tuning->set_progress({});
  engine.tuning_ = tuning;
  return engine;
}

Pool::Pool() : pool_(std::make_shared<runtime::Pool>()) {}
Bytes Pool::arena() const { return pool_->arena().size(); }
Bytes Pool::scratch() const { return pool_->scratch().size(); }

Result<Context> Engine::context(const ContextOptions& options) const {
  Context context;
  context.state_ = std::make_shared<Context::State>();
  context.state_->engine = engine_;
  HR_ASSIGN(context.state_->context,
            engine_->make_context({options.threads, options.memory_limit, options.prepared_shapes,
                                   options.pool ? options.pool->pool_ : nullptr}));
  return context;
}

Bytes Engine::streamable() const { return engine_->streamable(); }
Bytes Engine::weight_budget() const { return engine_->weight_budget(); }
Bytes Engine::automatic_weight_budget() const { return engine_->automatic_weight_budget(); }
Status Engine::set_weight_budget(std::optional<Bytes> budget) { return engine_->set_weight_budget(budget); }

EngineInfo Engine::info() const {
  EngineInfo info;
  info.file_ = std::shared_ptr<const EngineFile>(engine_, &engine_->file());
  return info;
}
std::vector<PortInfo> Engine::inputs() const { return info().inputs(); }
std::vector<PortInfo> Engine::outputs() const { return info().outputs(); }
std::vector<ProfileRange> Engine::profile() const { return info().profile(); }
const std::string& Engine::in_spec() const { return engine_->plan().in_spec; }
const std::string& Engine::out_spec() const { return engine_->plan().out_spec; }
std::string Engine::plan_text() const { return info().plan_text(); }
std::string Engine::weights_text() const { return info().weights_text(); }
Result<std::string> Engine::graph_text() const { return info().graph_text(); }
TuningReport Engine::tuning() const { return tuning_->report(); }
std::string Engine::backend() const { return info().backend(); }
std::filesystem::path Engine::path() const { return info().path(); }
std::string Engine::device() const {
  QueuedDevice* const device = engine_->device().queued();
  return device ? fmt::format("{}:{}", backend(), device->index()) : backend();
}

Result<std::vector<Tensor>> Context::run(std::span<const Tensor> inputs) {
  return state_->context->run(inputs);
}
Result<std::vector<Tensor>> Context::run(std::initializer_list<Tensor> inputs) {
  return run(std::span(inputs.begin(), inputs.size()));
}

Result<std::vector<Tensor>> Context::run(std::span<const NamedTensor> inputs) {
  const std::vector<InputSpec>& specs = state_->engine->plan().inputs;
  std::vector<Tensor> ordered(specs.size());
  for (const NamedTensor& input : inputs) {
    const auto spec = std::find_if(specs.begin(), specs.end(),
                                   [&](const InputSpec& known) { return known.name == input.name; });
    if (spec == specs.end()) {
      std::string names;
      for (const InputSpec& known : specs) names += (names.empty() ? "" : ", ") + known.name;
      return invalid_argument("the engine has no input '{}'; it has {}", input.name, names);
    }
    ordered[static_cast<size_t>(spec - specs.begin())] = input.tensor;
  }
  return run(ordered);
}
Result<std::vector<Tensor>> Context::run(std::initializer_list<NamedTensor> inputs) {
  return run(std::span(inputs.begin(), inputs.size()));
}

Status Context::run_into(std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  return state_->context->run_into(inputs, outputs);
}

Result<std::vector<std::vector<int64_t>>> Context::output_shapes(std::span<const Tensor> inputs) const {
  HR_ASSIGN(const DimBindings dims, state_->context->bind(inputs));
  return state_->context->output_shapes(dims);
}

Status Context::set_weight_budget(std::optional<Bytes> budget) {
  return state_->engine->set_weight_budget(budget);
}
Status Context::set_stream(std::optional<void*> stream) { return state_->context->set_stream(stream); }
Status Context::set_memory_limit(std::optional<Bytes> limit) {
  return state_->context->set_memory_limit(limit);
}
void Context::set_progress(Progress progress) { state_->context->set_progress(std::move(progress)); }

MemoryReport Context::memory() const {
  const runtime::MemoryReport from = state_->context->memory();
  return {.streamable = from.streamable,
          .weight_budget = from.weight_budget,
          .resident = from.resident,
          .always_resident = from.always_resident,
          .scratch = from.scratch,
          .arena = from.arena,
          .workspace = from.workspace,
          .states = from.states,
          .device_used = from.device_used,
          .device_peak = from.device_peak,
          .streamed_last_run = from.streamed_last_run,
          .driver = from.driver,
          .host_pinned = from.host_pinned,
          .last_run_ns = from.last_run_ns,
          .last_read_ns = from.last_read_ns,
          .last_wait_ns = from.last_wait_ns,
          .link_rate = from.link_rate};
}

std::string Context::report() const { return memory().text(); }

std::string MemoryReport::text() const {
  std::string line = fmt::format("resident {}, scratch {}, arena {}", to_text(resident + always_resident),
                                 to_text(scratch), to_text(arena));
  if (driver.count > 0) line += fmt::format(", driver {}", to_text(driver));
  if (host_pinned.count > 0) line += fmt::format(", {} of the host's pinned", to_text(host_pinned));
  if (streamed_last_run.count > 0 && last_run_ns > 0) {
    const double gib = static_cast<double>(streamed_last_run.count) / (1 << 30);
    line += fmt::format(", streamed {} at {:.2f} GiB/s", to_text(streamed_last_run),
                        gib / (static_cast<double>(last_run_ns) * 1e-9));
  }
  return line;
}

void Context::start_trace() {
  auto trace = std::make_unique<Trace>();
  state_->context->set_trace(trace.get());
  state_->trace = std::move(trace);
}

Status Context::write_trace(const std::filesystem::path& path) {
  if (!state_->trace) return invalid_argument("write '{}': no trace was started", path.string());
  return state_->trace->write(path);
}

Status verify_engine(const std::filesystem::path& path, const Progress& progress) {
  HR_ASSIGN(const EngineFile file, EngineFile::open(path));
  return file.verify([&](Bytes done, Bytes total) {
    return !progress || progress({"verify", done.count, total.count});
  });
}

}  // namespace headrace
