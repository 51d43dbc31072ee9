// The headrace command.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <headrace/headrace.h>
#include <algorithm>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/nearest.h"

namespace {

using namespace headrace::cli;  // NOLINT: this file is all of the tool's surface

constexpr const char* kFooter =
    "Sizes are written 512MiB, 1.5GiB or 1048576; weight budgets also all, auto or 10%.\n"
    "\n"
    "Exit codes:\n"
    "  0    all went well\n"
    "  2    the command line or an input is wrong\n"
    "  3    a file or a name does not exist\n"
    "  4    a file is corrupt, or was made by or for another version or machine\n"
    "  5    a memory limit, memory, the disk or descriptors ran out\n"
    "  6    the model needs something that is not supported\n"
    "  7    it failed now and may work later (an I/O error)\n"
    "  70   a bug in Headrace\n"
    "  130  interrupted by Ctrl-C\n";

struct CommandLine {
  bool json = false;
  CompileArguments compile;
  RunArguments run;
  BenchArguments bench;
  InspectArguments inspect;
  std::string verify;
};

CLI::App* add_command(CLI::App& app, CommandLine& line, const char* name, const char* what) {
  CLI::App* command = app.add_subcommand(name, what);
  command->add_flag("--json", line.json, "Print one JSON object instead of text");
  return command;
}

// The parser's own check, without its range in the help text.
CLI::Validator whole(int least, int most) { return CLI::Range(least, most).description(""); }

void add_session(CLI::App* command, SessionOptions& session) {
  command->add_option("engine", session.engine, "Engine file")->type_name("FILE")->required();
  command
      ->add_option("--memory-limit", session.memory_limit,
                   "Most memory for all that the engine holds, as 2GiB")
      ->type_name("SIZE");
  command->add_option("--device", session.device, "cuda:1 to choose among GPUs (default: the first)")
      ->type_name("NAME");
  command
      ->add_option(
          "--model", session.model,
          "Archive of the engine, to pack its weights again where it was made for another ISA or oneDNN "
          "(default: the engine's name with .pt2)")
      ->type_name("FILE");
  command
      ->add_option("--host-limit", session.host_limit,
                   "Most host memory pinned to feed a GPU, as 8GiB (default: what is free)")
      ->type_name("SIZE");
  command
      ->add_option("--tuning-seconds", session.tuning_seconds,
                   "On a GPU: longest time to tune kernels at the first load (0: not at all)")
      ->type_name("S")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber.description(""));
  command->add_flag("--deterministic", session.deterministic,
                    "On a GPU: let nothing computed depend on a timing; no kernel is tuned");
  command
      ->add_option("--threads", session.threads,
                   "Threads to compute with (default: the CPUs that may be used)")
      ->type_name("N")
      ->check(whole(1, 4096));
}

void add_build_choices(CLI::App* command, std::string& device, std::string& precision) {
  command
      ->add_option("--device", device, "cpu, cuda, cuda:INDEX, cuda:sm_NN (needs no GPU here) or reference")
      ->type_name("NAME")
      ->capture_default_str();
  command
      ->add_option("--precision", precision,
                   "Of floats: as-is, fp32, bf16 or fp16; inputs and outputs keep theirs")
      ->type_name("NAME")
      ->capture_default_str();
}

void add_compile(CLI::App& app, CommandLine& line) {
  CompileArguments& arguments = line.compile;
  CLI::App* command = add_command(app, line, "compile", "Compile a .pt2 export into an engine file");
  command->add_option("model", arguments.model, "Archive written by torch.export.save")
      ->type_name("FILE")
      ->required();
  command->add_option("-o,--output", arguments.engine, "Engine file (default: the model's name with .engine)")
      ->type_name("FILE");
  add_build_choices(command, arguments.device, arguments.precision);
  command->add_option("--profile", arguments.profile, "Range of a dynamic size; may be given for each")
      ->type_name("NAME=MIN:OPT:MAX")
      ->allow_extra_args(false);
  command->add_flag("--report", arguments.report, "Tell what was done, with times");
  command
      ->add_option("--pass-off", arguments.passes_off, "Name of a graph pass to leave out; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command->add_flag("--tf32", arguments.allow_tf32,
                    "On a GPU, let f32 products round their operands to TF32: faster, less exact");
  command->add_flag("--verify-passes", arguments.verify_passes, "Check the graph after every pass");
  command->add_option("--trace", arguments.trace, "Write a trace of the build, for Perfetto")
      ->type_name("FILE");
}

CLI::Option* add_integers(CLI::App* command, int& below) {
  return command->add_option("--integers-below", below, "Random integers are 0 or more and below this")
      ->type_name("N")
      ->capture_default_str()
      ->check(whole(1, 127));  // fits every integer dtype
}

void add_run(CLI::App& app, CommandLine& line) {
  RunArguments& arguments = line.run;
  CLI::App* command = add_command(app, line, "run", "Run an engine");
  add_session(command, arguments.session);
  command
      ->add_option("--weight-budget", arguments.session.weight_budget,
                   "Most bytes of streamable weights in memory: 10%, 512MiB, 0, all or auto (default)")
      ->type_name("BUDGET");
  auto* inputs = command
                     ->add_option("--inputs", arguments.inputs,
                                  "Inputs from an .npz, by name (bf16 from f4, u2 or V2 arrays)")
                     ->type_name("FILE");
  auto* random =
      command->add_option("--random", arguments.random, "Random inputs from this seed")->type_name("SEED");
  inputs->excludes(random);
  command
      ->add_option("--size", arguments.sizes, "A dynamic size, with --random (default: opt); may be repeated")
      ->type_name("NAME=N")
      ->allow_extra_args(false)
      ->excludes(inputs);
  add_integers(command, arguments.integers_below)->excludes(inputs);
  command->add_option("--outputs", arguments.outputs, "Write the outputs to an .npz (bf16 as f4)")
      ->type_name("FILE");
  command->add_option("--repeat", arguments.repeat, "Number of runs")
      ->type_name("N")
      ->check(whole(1, 1000000000));
  command->add_option("--trace", arguments.trace, "Write a trace of the runs, for Perfetto")
      ->type_name("FILE");
  command->callback([command, inputs, random] {
    if (inputs->count() + random->count() == 0) {
      throw CLI::RequiredError(command->get_name() + " needs --inputs in.npz or --random SEED;",
                               CLI::ExitCodes::RequiredError);
    }
  });
}

void add_bench(CLI::App& app, CommandLine& line) {
  BenchArguments& arguments = line.bench;
  CLI::App* command = add_command(app, line, "bench", "Measure an engine with several weight budgets");
  add_session(command, arguments.session);
  command
      ->add_option("--weight-budget", arguments.budgets,
                   "Budgets, a row for each (default: all,50%,10%,0, or what --memory-limit leaves)")
      ->type_name("BUDGETS");
  auto* inputs = command->add_option("--inputs", arguments.inputs, "Inputs from an .npz (default: random)")
                     ->type_name("FILE");
  command
      ->add_option("--expected", arguments.expected,
                   "Outputs from an .npz, by name; a column tells the largest difference from them")
      ->type_name("FILE");
  command->add_option("--batch", arguments.batches, "Sizes of the dynamic batch, as 1,8,32")
      ->type_name("N,N,…")
      ->excludes(inputs);
  command->add_option("--size", arguments.sizes, "A dynamic size (default: opt); may be repeated")
      ->type_name("NAME=N")
      ->allow_extra_args(false)
      ->excludes(inputs);
  command->add_option("--random", arguments.values.seed, "Seed of the inputs")
      ->type_name("SEED")
      ->capture_default_str()
      ->excludes(inputs);
  add_integers(command, arguments.values.integers_below)->excludes(inputs);
  command->add_option("--repeat", arguments.repeat, "Runs a row (default: about two seconds of them)")
      ->type_name("N")
      ->check(whole(1, 1000000000));
  command->add_option("--plot", arguments.plot, "Where the plot goes (default: ENGINE.budget.svg)")
      ->type_name("FILE");
  command->add_flag("--no-plot", arguments.no_plot, "Write no plot");
  command->add_option("--trace", arguments.trace, "Write a trace of the last row's runs, for Perfetto")
      ->type_name("FILE");
}

void add_inspect(CLI::App& app, CommandLine& line) {
  InspectArguments& arguments = line.inspect;
  CLI::App* command = add_command(app, line, "inspect", "Show what an engine or a model holds");
  command->add_option("file", arguments.file, "Engine file, or a .pt2 for its graph")
      ->type_name("FILE")
      ->required();
  command->add_flag("--graph", arguments.graph,
                    "The graph after the passes: an engine's, or a .pt2's for --device");
  command->add_flag("--raw-graph", arguments.raw_graph, "The graph of a .pt2 as read");
  command->add_flag("--plan", arguments.plan, "The steps of an engine");
  command->add_flag("--weights", arguments.weights, "The weights of an engine and their groups");
  add_build_choices(command, arguments.device, arguments.precision);
}

void add_verify(CLI::App& app, CommandLine& line) {
  CLI::App* command = add_command(app, line, "verify", "Check every byte of an engine file");
  command->add_option("engine", line.verify, "Engine file")->type_name("FILE")->required();
}

headrace::Status dispatch(const CLI::App& app, const CommandLine& line, const Console& console) {
  if (app.got_subcommand("compile")) return compile_command(line.compile, console);
  if (app.got_subcommand("run")) return run_command(line.run, console);
  if (app.got_subcommand("bench")) return bench_command(line.bench, console);
  if (app.got_subcommand("inspect")) return inspect_command(line.inspect, console);
  return verify_command(line.verify, console);
}

std::string did_you_mean(std::string_view typed, const std::vector<std::string>& known) {
  const std::string near = nearest(typed, known);
  return near.empty() ? "" : "; did you mean '" + near + "'?";
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

// What the parser found wrong, in terms of what was typed where that says more.
std::string explain(const CLI::App& app, const CLI::ParseError& error, std::span<char* const> typed) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  if (chosen.empty()) {
    std::vector<std::string> commands;
    for (const CLI::App* command : app.get_subcommands(nullptr)) commands.push_back(command->get_name());
    for (const std::string_view word : typed) {
      if (word.starts_with('-')) continue;
      return fmt::format("there is no command '{}'{}\n  see headrace --help", word,
                         did_you_mean(word, commands));
    }
    return std::string(error.what()) + "\n  see headrace --help";
  }
  const CLI::App& command = *chosen.front();
  std::string what = error.what();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> options = option_names(command);
    for (const std::string_view word : typed) {
      const std::string name(word.substr(0, word.find('=')));
      if (!name.starts_with('-') || std::find(options.begin(), options.end(), name) != options.end())
        continue;
      what = fmt::format("{} has no option '{}'{}", command.get_name(), name, did_you_mean(name, options));
      break;
    }
  }
  return fmt::format("{}\n  see headrace {} --help", what, command.get_name());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Compiles PyTorch exports into engines, and runs them inside the memory you give them.",
               "headrace");
  CommandLine line;
  app.set_version_flag("--version", "headrace " + headrace::version());
  app.footer(kFooter);
  app.require_subcommand(1);
  add_compile(app, line);
  add_run(app, line);
  add_bench(app, line);
  add_inspect(app, line);
  add_verify(app, line);
  try {  // CLI11 reports by exceptions
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const std::span<char* const> typed(argv + 1, static_cast<size_t>(std::max(argc, 1) - 1));
    // The parser may not have come as far as --json.
    const Console console(std::find(typed.begin(), typed.end(), std::string_view("--json")) != typed.end());
    return console.fail({headrace::Code::kInvalidArgument, explain(app, error, typed)});
  }
  cancel_on_interrupt();
  const Console console(line.json);
  headrace::Status status = dispatch(app, line, console);
  if (status.ok()) status = console.flush();
  return status.ok() ? 0 : console.fail(status);
}
