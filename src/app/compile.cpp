#include <algorithm>

#include <headrace/headrace.h>
#include "app/archive_weights.h"
#include "app/backends.h"
#include "app/literal_evaluator.h"
#include "app/memory_sampler.h"
#include "builder/builder.h"
#include "core/error.h"
#include "core/host.h"
#include "core/trace.h"
#include "frontend/frontend.h"
#include "kernels/reference/reference_kernels.h"
#include "partition/unsupported.h"
#include "passes/passes.h"
#include "runtime/memory_limit.h"
#include "runtime/shape_plan.h"

namespace headrace {
namespace {

namespace fs = std::filesystem;
using app::BuildBackend;

Result<passes::Precision> parse_precision(const std::string& text) {
  if (text == "as-is") return passes::Precision::kAsIs;
  if (text == "fp32") return passes::Precision::kF32;
  if (text == "bf16") return passes::Precision::kBF16;
  if (text == "fp16") return passes::Precision::kF16;
  return invalid_argument("precision '{}' is none of as-is, fp32, bf16, fp16", text);
}

Result<BuildBackend> open_backend(const CompileOptions& options) {
  HR_ASSIGN(const app::DeviceName device, app::parse_device(options.device));
  return app::make_build_backend(device, {.allow_tf32 = options.allow_tf32});
}

// Narrows the ranges of symbols; every range must lie inside the export's.
Status apply_profile(ir::Graph& graph, const std::vector<ProfileRange>& profile) {
  for (const ProfileRange& range : profile) {
    const auto symbol = std::find_if(graph.symbols.begin(), graph.symbols.end(),
                                     [&](const Symbol& candidate) { return candidate.name == range.name; });
    if (symbol == graph.symbols.end()) {
      std::string names;
      for (const Symbol& known : graph.symbols) names += (names.empty() ? "" : ", ") + known.name;
      return invalid_argument("profile: the model has no dynamic size '{}'; it has {}", range.name,
                              names.empty() ? "none" : names);
    }
    if (range.min > range.opt || range.opt > range.max || range.min < symbol->min ||
        range.max > symbol->max) {
      return invalid_argument("profile {}={}:{}:{}: it must rise, and lie inside {} … {} of the export",
                              range.name, range.min, range.opt, range.max, symbol->min, symbol->max);
    }
    *symbol = {range.name, range.min, range.opt, range.max};
  }
  return {};
}

// The phases of one compile: each is timed and traced, and where one begins the compile can be cancelled.
class Phases {
 public:
  Phases(const CompileOptions& options, Trace& trace) : options_(options), trace_(trace) {}

  Status next(std::string name) {
    close();
    name_ = std::move(name);
    begin_ = monotonic_ns();
    if (options_.progress && !options_.progress({name_, 0, 0})) return unavailable("compile: cancelled");
    return {};
  }
  void close() {
    if (name_.empty()) return;
    const int64_t end = monotonic_ns();
    times_.emplace_back(name_, end - begin_);
    trace_.add(TraceTrack::kBuild, name_, begin_, end);
    name_.clear();
  }
  const std::vector<std::pair<std::string, int64_t>>& times() const { return times_; }

 private:
  const CompileOptions& options_;
  Trace& trace_;
  int64_t begin_ = 0;
  std::string name_;
  std::vector<std::pair<std::string, int64_t>> times_;
};

std::vector<UnsupportedNodes> unsupported_by(const Lowering& lowering, const ir::Graph& graph) {
  return find_unsupported(graph, [&](const ir::Node& node) { return lowering.supports(node).why_not; });
}

passes::PassOptions pass_options(const CompileOptions& options, const Lowering& lowering,
                                 passes::Precision precision) {
  passes::PassOptions result;
  result.preferences = lowering.preferences();
  result.precision = precision;
  result.off = options.passes_off;
  result.evaluate = app::evaluate_literals;
#ifdef NDEBUG
  result.verify = options.verify_passes;
#else
  result.verify = true;
#endif
  return result;
}

struct Model {
  std::shared_ptr<const frontend::Archive> archive;
  ir::Graph graph;
  std::vector<std::string> warnings;
};

std::vector<std::string> warnings_of(const frontend::ExportedProgram& program) {
  std::vector<std::string> warnings;
  for (const std::string& condition : frontend::conditions_not_read(program)) {
    warnings.push_back(fmt::format(
        "the model holds only where {}, a condition that Headrace cannot read; runs do not check it, so give "
        "only inputs that meet it",
        condition));
  }
  return warnings;
}

Result<Model> read_model(const fs::path& path, const CompileOptions& options) {
  HR_ASSIGN(std::shared_ptr<const frontend::Archive> archive, frontend::Archive::open(path));
  HR_ASSIGN(const frontend::ExportedProgram program, frontend::read_program(*archive));
  const auto read = [&](const std::string& storage, Bytes offset, std::span<std::byte> out) {
    return archive->read(storage, offset, out);
  };
  Result<ir::Graph> graph = frontend::lower_program(program, read);
  if (!graph.ok()) return graph.status().with_context(path.filename().string());
  HR_TRY(apply_profile(*graph, options.profile));
  return Model{std::move(archive), *std::move(graph), warnings_of(program)};
}

// Runs the passes. What the back end cannot do is reported in the user's own nodes, as they were before the
// passes; an op that the passes fold away is nobody's problem.
Status optimise(ir::Graph& graph, const Lowering& lowering, const fs::path& path,
                const CompileOptions& options, passes::Precision precision) {
  const std::string model = path.filename().string();
  const std::vector<UnsupportedNodes> before = unsupported_by(lowering, graph);
  const std::string report = before.empty() ? "" : unsupported_report(before, graph, model, lowering.name());
  HR_TRY(passes::run_passes(graph, pass_options(options, lowering, precision)).status());
  const std::vector<UnsupportedNodes> after = unsupported_by(lowering, graph);
  if (after.empty()) return {};
  return unsupported("{}",
                     report.empty() ? unsupported_report(after, graph, model, lowering.name()) : report);
}

// Makes the plan ready as a run at the opt sizes would, so that what kernels refuse shows before anything is
// written, and tells the memory of such a run.
// Where the device may be another machine's, only the activations are told.
Status prepare_at_opt(const BuildBackend& backend, const Plan& plan, CompileReport& report) {
  const DimBindings opt = opt_bindings(plan.symbols);
  if (backend.kernels) {
    HR_ASSIGN(const auto executable, backend.kernels->load(std::make_shared<const Plan>(plan)));
    HR_ASSIGN(const auto shape, runtime::make_shape_plan(plan, *executable, opt, usable_cpus()));
    report.arena = runtime::whole_pages(shape->arena);
  } else {
    HR_ASSIGN(const Bytes arena, runtime::arena_without_workspace(plan, opt));
    report.arena = runtime::whole_pages(arena);
  }
  for (const InputSpec& input : plan.inputs) {
    if (input.kind != InputKind::kTensor) continue;
    HR_ASSIGN(Sizes sizes, evaluate(input.shape, opt));
    report.opt_shapes.emplace_back(input.name, std::move(sizes));
  }
  return {};
}

}  // namespace

Result<CompileReport> compile_file(const fs::path& model, const fs::path& engine,
                                   const CompileOptions& options) {
  const int64_t start = monotonic_ns();
  app::MemorySampler memory;
  Trace trace;
  Phases phases(options, trace);
  HR_ASSIGN(const BuildBackend backend, open_backend(options));
  HR_ASSIGN(const passes::Precision precision, parse_precision(options.precision));
  const std::unique_ptr<Lowering>& lowering = backend.lowering;
  CompileReport report;

  HR_TRY(phases.next("read graph"));
  HR_ASSIGN(Model opened, read_model(model, options));
  report.nodes = static_cast<int64_t>(opened.graph.nodes().size());
  HR_TRY(phases.next("optimise"));
  HR_TRY(optimise(opened.graph, *lowering, model, options, precision));
  HR_TRY(phases.next("plan"));
  HR_ASSIGN(Plan plan, lowering->lower(opened.graph));
  HR_TRY(app::mark_sources(plan, *opened.archive));
  assign_groups(plan);
  report.steps = static_cast<int64_t>(plan.steps.size());
  HR_TRY(phases.next("prepare"));
  HR_TRY(prepare_at_opt(backend, plan, report));
  HR_TRY(phases.next("write weights"));
  const std::unique_ptr<Evaluator> evaluator = reference::make_evaluator();
  HR_ASSIGN(const BuildReport built,
            build_engine(std::move(plan), app::ArchiveWeights(*opened.archive), backend.packer.get(),
                         evaluator.get(), engine, options.progress, &trace, ir::print(opened.graph)));
  phases.close();

  report.file = built.file;
  report.weights = built.weights;
  report.streamable = built.streamable;
  report.peak_growth = memory.stop();
  report.ns = monotonic_ns() - start;
  report.phases = phases.times();
  report.warnings = std::move(opened.warnings);
  if (!options.trace.empty()) HR_TRY(trace.write(options.trace));
  return report;
}

Result<Engine> compile(const fs::path& model, const fs::path& engine, const CompileOptions& options,
                       CompileReport* report) {
  HR_ASSIGN(const CompileReport made, compile_file(model, engine, options));
  if (report != nullptr) *report = made;
  OpenOptions open;
  open.progress = options.progress;
  HR_ASSIGN(const app::DeviceName device, app::parse_device(options.device));
  if (device.target.empty()) open.device = options.device;
  return Engine::open(engine, open);
}

Result<std::string> graph_text(const fs::path& model, bool optimised, const CompileOptions& options) {
  HR_ASSIGN(Model opened, read_model(model, options));
  if (optimised) {
    HR_ASSIGN(const BuildBackend backend, open_backend(options));
    HR_ASSIGN(const passes::Precision precision, parse_precision(options.precision));
    HR_TRY(optimise(opened.graph, *backend.lowering, model, options, precision));
  }
  return ir::print(opened.graph);
}

}  // namespace headrace
