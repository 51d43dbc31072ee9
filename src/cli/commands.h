// The tool's commands, as functions of what was typed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <headrace/status.h>
#include "cli/console.h"
#include "cli/inputs.h"
#include "cli/session.h"

namespace headrace::cli {

struct CompileArguments {
  std::string model, engine;  // no engine: the model's name with .engine, in the working folder
  std::string device = "cpu", precision = "as-is";
  std::vector<std::string> profile;     // NAME=MIN:OPT:MAX
  std::vector<std::string> passes_off;  // names
  bool report = false, verify_passes = false, allow_tf32 = false;
  std::string trace;
};
Status compile_command(const CompileArguments& arguments, const Console& console);

struct RunArguments {
  SessionOptions session;
  std::string inputs, outputs;     // .npz
  std::optional<uint64_t> random;  // the seed
  int integers_below = 2;
  std::vector<std::string> sizes;  // NAME=VALUE
  int repeat = 1;
  std::string trace;
};
Status run_command(const RunArguments& arguments, const Console& console);

struct BenchArguments {
  SessionOptions session;              // its weight_budget is not looked at
  std::optional<std::string> budgets;  // "all,50%,10%,0"
  std::string batches;                 // "1,8,32"
  std::vector<std::string> sizes;
  std::string inputs;    // .npz; empty: random
  std::string expected;  // .npz of outputs; empty: nothing is compared
  RandomValues values;
  int repeat = 0;  // 0: about two seconds a row, 5 to 200 runs
  std::string plot;
  bool no_plot = false;
  std::string trace;
};
Status bench_command(const BenchArguments& arguments, const Console& console);

struct InspectArguments {
  std::string file;  // an engine, or a .pt2 for its graph
  bool graph = false, raw_graph = false, plan = false, weights = false;
  std::string device = "cpu", precision = "as-is";
};
Status inspect_command(const InspectArguments& arguments, const Console& console);

Status verify_command(const std::string& engine, const Console& console);

}  // namespace headrace::cli
