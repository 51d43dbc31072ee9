#include <fmt/core.h>

#include <cmath>
#include <limits>

#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/json_text.h"
#include "cli/npz.h"
#include "cli/outputs.h"
#include "cli/report_text.h"
#include "cli/table.h"
#include "core/error.h"
#include "core/trace.h"

namespace headrace::cli {
namespace {

// Enough to see at a glance whether an output is sane. REQUIRES: row-major, as results of runs are.
struct Summary {
  double least = std::numeric_limits<double>::infinity(), most = -least, mean = 0;
  int64_t not_finite = 0;
};
Summary summarise(const Tensor& tensor) {
  Summary summary;
  int64_t finite = 0;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const double value = element(tensor, i);
    if (!std::isfinite(value)) {
      ++summary.not_finite;
      continue;
    }
    summary.least = std::min(summary.least, value), summary.most = std::max(summary.most, value);
    summary.mean += (value - summary.mean) / static_cast<double>(++finite);
  }
  if (finite == 0) summary.mean = std::numeric_limits<double>::quiet_NaN();
  return summary;
}

Result<std::vector<Tensor>> make_inputs(const RunArguments& arguments, const Engine& engine) {
  if (!arguments.inputs.empty()) return inputs_from_npz(engine, arguments.inputs);
  HR_ASSIGN(const DimBindings dims, bind_sizes(engine, arguments.sizes));
  return random_inputs(engine, dims, {arguments.random.value_or(0), arguments.integers_below});
}

void print_outputs(const std::vector<NamedTensor>& outputs, const Console& console) {
  Table table({{"output"},
               {"dtype"},
               {"shape"},
               {"least", Table::Align::kRight},
               {"mean", Table::Align::kRight},
               {"most", Table::Align::kRight},
               {""}});
  for (const NamedTensor& output : outputs) {
    const Summary summary = summarise(output.tensor);
    const bool any = std::isfinite(summary.mean);
    const auto number = [&](double value) { return any ? fmt::format("{:.5g}", value) : std::string("–"); };
    table.add({output.name, std::string(dtype_name(output.tensor.dtype())), shape_text(output.tensor.shape()),
               number(summary.least), number(summary.mean), number(summary.most),
               summary.not_finite ? fmt::format("{} not finite", summary.not_finite) : ""});
  }
  console.print(table.text());
}

std::string outputs_json(const std::vector<NamedTensor>& outputs) {
  std::vector<std::string> items;
  for (const NamedTensor& output : outputs) {
    const Summary summary = summarise(output.tensor);
    items.push_back(JsonObject()
                        .add("name", output.name)
                        .add("dtype", dtype_name(output.tensor.dtype()))
                        .raw("shape", shape_json(output.tensor.shape()))
                        .add("least", summary.least)
                        .add("mean", summary.mean)
                        .add("most", summary.most)
                        .add("not_finite", summary.not_finite)
                        .text());
  }
  return json_array(items);
}

}  // namespace

Status run_command(const RunArguments& arguments, const Console& console) {
  HR_ASSIGN(Session session, open_session(arguments.session, console));
  HR_ASSIGN(const std::vector<Tensor> inputs, make_inputs(arguments, session.engine));
  if (!arguments.trace.empty()) session.context.start_trace();
  if (arguments.repeat == 1) session.context.set_progress(console.progress());
  std::vector<Tensor> results;
  std::vector<int64_t> times;
  for (int i = 0; i < arguments.repeat; ++i) {
    const int64_t begin = monotonic_ns();
    HR_ASSIGN(results, session.context.run(inputs));
    times.push_back(monotonic_ns() - begin);
  }
  if (!arguments.trace.empty()) HR_TRY(session.context.write_trace(arguments.trace));

  const std::vector<NamedTensor> outputs = named_outputs(session.engine, results);
  if (!arguments.outputs.empty()) HR_TRY(write_npz(arguments.outputs, outputs));

  print_outputs(outputs, console);
  console.print(fmt::format("\n{}\n", session.context.report()));
  if (times.size() == 1) {
    console.print(fmt::format("1 run in {}\n", milliseconds(quantile_ms(times, 0.5))));
  } else {
    console.print(fmt::format("{} runs, latency p50 {}, p99 {}, first {}\n", times.size(),
                              milliseconds(quantile_ms(times, 0.5)), milliseconds(quantile_ms(times, 0.99)),
                              milliseconds(static_cast<double>(times[0]) * 1e-6)));
  }
  if (!arguments.outputs.empty()) console.print(fmt::format("wrote {}\n", arguments.outputs));
  console.print_json(JsonObject()
                         .add("engine", arguments.session.engine)
                         .add("runs", static_cast<int64_t>(times.size()))
                         .add("latency_p50_ms", quantile_ms(times, 0.5))
                         .add("latency_p99_ms", quantile_ms(times, 0.99))
                         .raw("outputs", outputs_json(outputs))
                         .raw("memory", memory_json(session.context.memory()))
                         .raw("tuning", tuning_json(session.engine.tuning()))
                         .text());
  return {};
}

}  // namespace headrace::cli
