#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/json_text.h"
#include "cli/outputs.h"
#include "cli/plain_read.h"
#include "cli/report_text.h"
#include "cli/svg.h"
#include "cli/table.h"
#include "core/error.h"
#include "core/file.h"
#include "core/host.h"
#include "core/trace.h"
#include "core/units.h"

namespace headrace::cli {
namespace {

constexpr int64_t kRowNs = 2'000'000'000;
constexpr size_t kLeastRuns = 5, kMostRuns = 200;

struct Row {
  std::string budget;  // as typed; empty: chosen by the memory limit
  int64_t batch = 0;   // 0: none given
  Status status;       // of the row; the rest holds where it is ok
  MemoryReport memory;
  Bytes process_peak;
  double p50_ms = 0, p99_ms = 0;
  std::optional<double> difference;  // from what was expected
  size_t runs = 0;
  int64_t streamed = 0, read_ns = 0;  // over all measured runs

  double streamed_per_second() const {
    return read_ns > 0 ? static_cast<double>(streamed) / (static_cast<double>(read_ns) * 1e-9) : 0;
  }
  Bytes streamed_per_run() const { return Bytes{streamed / static_cast<int64_t>(std::max<size_t>(runs, 1))}; }
  double items_per_second() const {
    return static_cast<double>(std::max<int64_t>(batch, 1)) * 1e3 / std::max(p50_ms, 1e-9);
  }
};

// What a memory limit refuses is a row of the table; anything else ends the command.
class Bench {
 public:
  Bench(const BenchArguments& arguments, const Console& console, Engine engine,
        std::optional<Expected> expected)
      : arguments_(arguments),
        console_(console),
        engine_(std::move(engine)),
        expected_(std::move(expected)) {}

  Result<Row> row(const std::string& budget, int64_t batch);

 private:
  Result<std::vector<Tensor>> make_inputs(int64_t batch) const;
  Status prepare(Context& context, const std::string& budget);
  Status measure(Context& context, std::span<const Tensor> inputs, Row& row);

  const BenchArguments& arguments_;
  const Console& console_;
  Engine engine_;
  std::optional<Expected> expected_;
};

Status Bench::prepare(Context& context, const std::string& budget) {
  if (budget.empty()) return {};
  HR_ASSIGN(const std::optional<Bytes> bytes, resolve_budget(budget, engine_, console_));
  return context.set_weight_budget(bytes);
}

Status Bench::measure(Context& context, std::span<const Tensor> inputs, Row& row) {
  reset_process_peak();
  HR_ASSIGN(std::vector<Tensor> results, context.run(inputs));  // prepares kernels for these shapes
  if (expected_) {
    HR_ASSIGN(row.difference, expected_->largest_difference(named_outputs(engine_, results)));
  }
  results.clear();
  std::vector<int64_t> times;
  const int64_t begin = monotonic_ns();
  const auto enough = [&] {
    if (arguments_.repeat > 0) return times.size() >= static_cast<size_t>(arguments_.repeat);
    return times.size() >= kMostRuns || (times.size() >= kLeastRuns && monotonic_ns() - begin > kRowNs);
  };
  while (!enough()) {
    const int64_t start = monotonic_ns();
    HR_TRY(context.run(inputs).status());
    times.push_back(monotonic_ns() - start);
    const MemoryReport memory = context.memory();
    row.streamed += memory.streamed_last_run.count, row.read_ns += memory.last_read_ns;
  }
  row.process_peak = process_peak();
  row.memory = context.memory();
  row.p50_ms = quantile_ms(times, 0.5), row.p99_ms = quantile_ms(times, 0.99), row.runs = times.size();
  return {};
}

Result<std::vector<Tensor>> Bench::make_inputs(int64_t batch) const {
  if (!arguments_.inputs.empty()) return inputs_from_npz(engine_, arguments_.inputs);
  std::vector<std::string> sizes = arguments_.sizes;
  if (batch > 0) {
    HR_ASSIGN(const std::string symbol, batch_symbol(engine_));
    sizes.push_back(fmt::format("{}={}", symbol, batch));
  }
  HR_ASSIGN(const DimBindings dims, bind_sizes(engine_, sizes));
  return random_inputs(engine_, dims, arguments_.values);
}

Result<Row> Bench::row(const std::string& budget, int64_t batch) {
  Row row;
  row.budget = budget, row.batch = batch;
  HR_ASSIGN(const std::vector<Tensor> inputs, make_inputs(batch));
  SessionOptions session = arguments_.session;
  session.weight_budget = budget.empty() ? "auto" : budget;
  Result<Context> context = make_context(engine_, session, console_);
  row.status = context.status();
  if (row.status.ok()) row.status = prepare(*context, budget);
  if (row.status.ok() && !arguments_.trace.empty()) context->start_trace();
  if (row.status.ok()) row.status = measure(*context, inputs, row);
  if (row.status.ok() && !arguments_.trace.empty()) HR_TRY(context->write_trace(arguments_.trace));
  const bool refused = row.status.code() == Code::kExhausted && arguments_.session.memory_limit;
  if (!row.status.ok() && !refused) return row.status;
  return row;
}

std::string streamed_text(const Row& row, const PlainRead& plain) {
  if (row.streamed == 0) return "–";
  const std::string amount = to_text(row.streamed_per_run());
  if (row.streamed_per_run() < mib(1)) return amount;  // too little to tell a rate
  std::string text = fmt::format("{} at {}", amount, rate_text(row.streamed_per_second()));
  if (plain.bytes_per_second > 0) {
    text +=
        fmt::format(" ({:.0f} % of a plain read)", 100 * row.streamed_per_second() / plain.bytes_per_second);
  }
  return text;
}

std::string budget_label(const Row& row) { return row.budget.empty() ? "by limit" : row.budget; }

bool any_worked(const std::vector<Row>& rows) {
  return std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.status.ok(); });
}

void print_rows(const std::vector<Row>& rows, const PlainRead& plain, const Console& console) {
  constexpr auto kRight = Table::Align::kRight;
  const bool batches = rows.front().batch > 0;
  std::vector<Table::Column> columns;
  if (batches) columns.push_back({"batch", kRight});
  columns.push_back({"budget"});
  for (const char* title : {"resident", "scratch", "arena", "process peak", "latency p50", "p99"}) {
    columns.push_back({title, kRight});
  }
  columns.push_back({batches ? "items/s" : "runs/s", kRight});
  const bool compared =
      std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.difference.has_value(); });
  if (compared) columns.push_back({"max difference", kRight});
  columns.push_back({"streamed a run"});
  Table table(std::move(columns));
  std::string refused;
  for (const Row& row : rows) {
    std::vector<std::string> cells;
    if (batches) cells.push_back(std::to_string(row.batch));
    cells.push_back(budget_label(row));
    if (!row.status.ok()) {
      cells.insert(cells.end(), {"–", "–", "–", "–", "does not fit"});
      refused += fmt::format("{}: {}\n", batches ? fmt::format("batch {}", row.batch) : budget_label(row),
                             row.status.message());
    } else {
      cells.insert(cells.end(),
                   {to_text(row.memory.resident + row.memory.always_resident),
                    row.memory.scratch.count > 0 ? to_text(row.memory.scratch) : "–",
                    to_text(row.memory.arena), to_text(row.process_peak), milliseconds(row.p50_ms),
                    milliseconds(row.p99_ms), fmt::format("{:.1f}", row.items_per_second())});
      if (compared) cells.push_back(fmt::format("{:.2g}", row.difference.value_or(0)));
      cells.push_back(streamed_text(row, plain));
    }
    table.add(std::move(cells));
  }
  console.print(table.text());
  if (any_worked(rows) && !refused.empty()) console.print("\n" + refused);
}

std::string row_json(const Row& row, const PlainRead& plain) {
  JsonObject json;
  json.add("budget", budget_label(row));
  if (row.batch > 0) json.add("batch", row.batch);
  if (!row.status.ok()) {
    const JsonObject error =
        JsonObject().add("code", code_name(row.status.code())).add("message", row.status.message());
    return json.raw("error", error.text()).text();
  }
  json.add("runs", static_cast<int64_t>(row.runs))
      .add("latency_p50_ms", row.p50_ms)
      .add("latency_p99_ms", row.p99_ms)
      .add("items_per_second", row.items_per_second())
      .add("process_peak_bytes", row.process_peak)
      .add("streamed_bytes", row.streamed_per_run())
      .add("streamed_bytes_per_second", row.streamed_per_second());
  if (row.difference) json.add("max_difference", *row.difference);
  if (row.streamed > 0 && plain.bytes_per_second > 0) {
    json.add("share_of_plain_read", row.streamed_per_second() / plain.bytes_per_second);
  }
  return json.raw("memory", memory_json(row.memory)).text();
}

// Latency over resident weights, a line for each batch.
Plot plot_of(const std::vector<Row>& rows, const std::string& engine) {
  std::map<int64_t, PlotLine> lines;
  for (const Row& row : rows) {
    if (!row.status.ok()) continue;
    PlotLine& line = lines[row.batch];
    if (row.batch > 0) line.label = fmt::format("batch {}", row.batch);
    line.points.push_back(
        {static_cast<double>(row.memory.weight_budget.count) / static_cast<double>(mib(1).count),
         row.p50_ms});
  }
  Plot plot{
      fmt::format("{}: latency against the weight budget", std::filesystem::path(engine).filename().string()),
      "weight budget, MiB",
      "latency p50, ms",
      {}};
  for (auto& [batch, line] : lines) {
    std::sort(line.points.begin(), line.points.end(), [](const auto& a, const auto& b) { return a.x < b.x; });
    plot.lines.push_back(std::move(line));
  }
  return plot;
}

Status write_plot(const BenchArguments& arguments, const std::vector<Row>& rows, std::string& path) {
  const Plot plot = plot_of(rows, arguments.session.engine);
  const bool worth = std::any_of(plot.lines.begin(), plot.lines.end(),
                                 [](const PlotLine& line) { return line.points.size() > 1; });
  if (arguments.no_plot || (arguments.plot.empty() && !worth)) return {};
  path = arguments.plot.empty()
             ? std::filesystem::path(arguments.session.engine).stem().string() + ".budget.svg"
             : arguments.plot;
  return write_text_file(path, svg_text(plot));
}

}  // namespace

Status bench_command(const BenchArguments& arguments, const Console& console) {
  std::vector<std::string> budgets;
  // Under a memory limit, the limit chooses the budget unless one is given.
  if (arguments.budgets || !arguments.session.memory_limit) {
    budgets = split_list(arguments.budgets.value_or("all,50%,10%,0"));
  } else {
    budgets = {""};
  }
  for (const std::string& budget : budgets) {
    if (!budget.empty() || arguments.budgets) HR_TRY(parse_budget(budget).status());
  }
  std::vector<int64_t> batches = {0};
  if (!arguments.batches.empty()) {
    HR_ASSIGN(batches, parse_counts(arguments.batches, "--batch"));
  }
  if (arguments.session.memory_limit) HR_TRY(parse_bytes(*arguments.session.memory_limit).status());
  SessionOptions first = arguments.session;
  first.weight_budget = "0";  // each row sets its own
  HR_ASSIGN(Engine engine, open_engine(first, console));
  std::optional<Expected> expected;
  if (!arguments.expected.empty()) {
    HR_ASSIGN(expected, Expected::read(engine, arguments.expected));
  }
  Bench bench(arguments, console, engine, std::move(expected));
  std::vector<Row> rows;
  const Progress progress = console.progress();
  const auto row_count = static_cast<int64_t>(batches.size() * budgets.size());
  for (const int64_t batch : batches) {
    for (const std::string& budget : budgets) {
      progress({"measure", static_cast<int64_t>(rows.size()), row_count});
      HR_ASSIGN(Row row, bench.row(budget, batch));
      rows.push_back(std::move(row));
    }
  }
  progress({"measure", row_count, row_count});
  PlainRead plain;
  if (std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.streamed > 0; })) {
    HR_ASSIGN(plain, plain_read(arguments.session.engine));
  }
  print_rows(rows, plain, console);
  if (!any_worked(rows)) return rows.front().status;
  std::string plot;
  HR_TRY(write_plot(arguments, rows, plot));
  if (!plot.empty()) console.print(fmt::format("plot: {}\n", plot));
  std::vector<std::string> items;
  for (const Row& row : rows) items.push_back(row_json(row, plain));
  JsonObject json;
  json.add("engine", arguments.session.engine).raw("rows", json_array(items));
  json.raw("tuning", tuning_json(engine.tuning()));
  if (plain.bytes_per_second > 0) json.add("plain_read_bytes_per_second", plain.bytes_per_second);
  if (!plot.empty()) json.add("plot", plot);
  console.print_json(json.text());
  return {};
}

}  // namespace headrace::cli
