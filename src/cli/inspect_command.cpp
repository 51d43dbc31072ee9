#include <fmt/core.h>

#include <array>

#include "cli/commands.h"
#include "cli/json_text.h"
#include "cli/report_text.h"
#include "cli/table.h"
#include "core/error.h"
#include "core/file.h"
#include "core/trace.h"
#include "core/units.h"

namespace headrace::cli {
namespace {

// Archives of torch.export.save are zip files; engines are not.
Result<bool> is_archive(const std::string& file) {
  HR_ASSIGN(const UniqueFd fd, open_for_reading(file));
  HR_ASSIGN(const Bytes size, file_size(fd.get(), file));
  std::array<std::byte, 4> magic{};
  if (size.count < 4) return false;
  HR_TRY(read_exactly(fd.get(), Bytes{0}, magic, file));
  return magic[0] == std::byte{'P'} && magic[1] == std::byte{'K'};
}

Status print_graph(const InspectArguments& arguments, const Console& console) {
  CompileOptions options;
  options.device = arguments.device;
  options.precision = arguments.precision;
  HR_ASSIGN(const std::string text, graph_text(arguments.file, !arguments.raw_graph, options));
  console.print(text);
  console.print_json(JsonObject().add("model", arguments.file).add("graph", text).text());
  return {};
}

std::string ports_text(const std::vector<PortInfo>& ports, const char* title) {
  Table table({{title}, {"dtype"}, {"shape"}});
  for (const PortInfo& port : ports) {
    std::string shape;
    for (const std::string& size : port.shape) shape += (shape.empty() ? "" : ", ") + size;
    if (port.is_tensor)
      table.add({port.name, std::string(dtype_name(port.dtype)), "[" + shape + "]"});
    else
      table.add({port.name, port.constant.empty() ? "number" : "always " + port.constant});
  }
  return table.text() + "\n";
}

Result<std::string> engine_graph(const EngineInfo& engine, const std::string& file) {
  HR_ASSIGN(std::string text, engine.graph_text());
  if (!text.empty()) return text;
  return unsupported("'{}' keeps no graph: what wrote it gave none; --plan shows its steps", file);
}

void print_summary(const EngineInfo& engine, const InspectArguments& arguments, const std::string& graph,
                   const Console& console) {
  console.print(fmt::format("{}   for {}, {} of streamable weights\n\n", arguments.file, engine.fingerprint(),
                            to_text(engine.streamable())));
  console.print(ports_text(engine.inputs(), "input"));
  console.print(ports_text(engine.outputs(), "output"));
  std::vector<std::string> profile;
  Table table({{"dynamic size"},
               {"min", Table::Align::kRight},
               {"opt", Table::Align::kRight},
               {"max", Table::Align::kRight}});
  for (const ProfileRange& range : engine.profile()) {
    table.add({range.name, std::to_string(range.min), std::to_string(range.opt), std::to_string(range.max)});
    profile.push_back(JsonObject()
                          .add("name", range.name)
                          .add("min", range.min)
                          .add("opt", range.opt)
                          .add("max", range.max)
                          .text());
  }
  if (!profile.empty()) console.print(table.text());
  JsonObject json;
  json.add("engine", arguments.file)
      .add("backend", engine.backend())
      .add("fingerprint", engine.fingerprint())
      .add("streamable_bytes", engine.streamable())
      .raw("inputs", ports_json(engine.inputs()))
      .raw("outputs", ports_json(engine.outputs()))
      .raw("profile", json_array(profile));
  if (arguments.graph) json.add("graph", graph);
  if (arguments.plan) json.add("plan", engine.plan_text());
  if (arguments.weights) json.add("weights", engine.weights_text());
  console.print_json(json.text());
}

}  // namespace

Status inspect_command(const InspectArguments& arguments, const Console& console) {
  HR_ASSIGN(const bool archive, is_archive(arguments.file));
  if (archive) {
    if (!arguments.plan && !arguments.weights) return print_graph(arguments, console);
    return invalid_argument(
        "'{}' is a model, and --plan and --weights show engines; compile it first: headrace compile {}",
        arguments.file, arguments.file);
  }
  if (arguments.raw_graph) {
    return invalid_argument(
        "'{}' is an engine, and keeps its graph as the passes left it: --graph shows that; --raw-graph takes "
        "the .pt2",
        arguments.file);
  }
  HR_ASSIGN(const EngineInfo engine, inspect_engine(arguments.file));
  std::string graph;
  if (arguments.graph) {
    HR_ASSIGN(graph, engine_graph(engine, arguments.file));
    console.print(graph);
  }
  if (console.json() || (!arguments.graph && !arguments.plan && !arguments.weights)) {
    print_summary(engine, arguments, graph, console);
  }
  if (arguments.plan) console.print(engine.plan_text());
  if (arguments.weights) console.print(engine.weights_text());
  return {};
}

Status verify_command(const std::string& engine, const Console& console) {
  const int64_t begin = monotonic_ns();
  HR_TRY(verify_engine(engine, console.progress()));
  HR_ASSIGN(const UniqueFd fd, open_for_reading(engine));
  HR_ASSIGN(const Bytes size, file_size(fd.get(), engine));
  const double seconds = static_cast<double>(monotonic_ns() - begin) * 1e-9;
  console.print(
      fmt::format("{}  sound: every byte of {} checked in {:.2f} s\n", engine, to_text(size), seconds));
  console.print_json(JsonObject().add("engine", engine).add("sound", true).add("file_bytes", size).text());
  return {};
}

}  // namespace headrace::cli
