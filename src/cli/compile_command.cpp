#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include <headrace/headrace.h>
#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/json_text.h"
#include "cli/report_text.h"
#include "cli/table.h"
#include "core/error.h"
#include "core/units.h"

namespace headrace::cli {
namespace {

double seconds(int64_t ns) { return static_cast<double>(ns) / 1e9; }

// "1x128": the shapes that the arena is for, each once.
std::string opt_shapes_text(const CompileReport& report) {
  std::vector<std::string> shapes;
  for (const auto& [name, shape] : report.opt_shapes) {
    const std::string text = shape_text(shape);
    if (std::find(shapes.begin(), shapes.end(), text) == shapes.end()) shapes.push_back(text);
  }
  constexpr size_t kShown = 3;
  if (shapes.size() > kShown) shapes.resize(kShown), shapes.push_back("…");
  return shapes.empty() ? "" : fmt::format(" ({})", fmt::join(shapes, ", "));
}

std::string opt_shapes_json(const CompileReport& report) {
  JsonObject json;
  for (const auto& [name, shape] : report.opt_shapes) json.raw(name, shape_json(shape));
  return json.text();
}

std::string json_text(const std::string& engine, const CompileReport& report) {
  std::vector<std::string> phases, warnings;
  for (const std::string& warning : report.warnings) warnings.push_back(json_string(warning));
  for (const auto& [name, ns] : report.phases) {
    phases.push_back(JsonObject().add("name", name).add("seconds", seconds(ns)).text());
  }
  return JsonObject()
      .add("engine", engine)
      .add("nodes", report.nodes)
      .add("steps", report.steps)
      .add("file_bytes", report.file)
      .add("weights_bytes", report.weights)
      .add("streamable_bytes", report.streamable)
      .add("arena_bytes", report.arena)
      .raw("opt_shapes", opt_shapes_json(report))
      .add("peak_growth_bytes", report.peak_growth)
      .add("seconds", seconds(report.ns))
      .raw("phases", json_array(phases))
      .raw("warnings", json_array(warnings))
      .text();
}

std::string phase_table(const CompileReport& report) {
  Table table({{"phase"}, {"time", Table::Align::kRight}, {"share", Table::Align::kRight}});
  for (const auto& [name, ns] : report.phases) {
    table.add({name, fmt::format("{:.1f} ms", static_cast<double>(ns) * 1e-6),
               fmt::format("{:.0f} %", 100.0 * static_cast<double>(ns) /
                                           static_cast<double>(std::max<int64_t>(report.ns, 1)))});
  }
  return table.text();
}

}  // namespace

Status compile_command(const CompileArguments& arguments, const Console& console) {
  const std::filesystem::path model = arguments.model;
  const std::string engine = arguments.engine.empty() ? model.stem().string() + ".engine" : arguments.engine;
  CompileOptions options;
  options.device = arguments.device;
  options.precision = arguments.precision;
  options.allow_tf32 = arguments.allow_tf32;
  options.passes_off = arguments.passes_off;
  options.trace = arguments.trace;
  options.verify_passes = arguments.verify_passes;
  options.progress = console.progress();
  for (const std::string& text : arguments.profile) {
    HR_ASSIGN(ProfileRange range, parse_profile(text));
    options.profile.push_back(std::move(range));
  }
  HR_ASSIGN(const CompileReport report, compile_file(model, engine, options));
  for (const std::string& warning : report.warnings) console.warn(warning);
  console.print(fmt::format("{}   {} nodes -> {} steps    {} weights, {} streamable    arena {}{}\n",
                            model.filename().string(), report.nodes, report.steps, to_text(report.weights),
                            to_text(report.streamable), to_text(report.arena), opt_shapes_text(report)));
  if (arguments.report) console.print("\n" + phase_table(report) + "\n");
  console.print(fmt::format("wrote {}  {} in {:.2f} s, peak +{}\n", engine, to_text(report.file),
                            seconds(report.ns), to_text(report.peak_growth)));
  console.print_json(json_text(engine, report));
  return {};
}

}  // namespace headrace::cli
