#include <algorithm>

#include "core/error.h"
#include "frontend/dim_range.h"
#include "frontend/frontend.h"
#include "frontend/guards.h"
#include "frontend/io_names.h"
#include "frontend/lower_inputs.h"
#include "frontend/lower_nodes.h"

namespace headrace::frontend {
namespace {

using ir::Guard;

Status check_mutations(const ExportedProgram& program) {
  std::string names;
  for (const OutputSpecEntry& output : program.outputs) {
    using Kind = OutputSpecEntry::Kind;
    if (output.kind == Kind::kUserOutput) continue;
    const std::string_view what = output.kind == Kind::kBufferMutation      ? "buffer"
                                  : output.kind == Kind::kParameterMutation ? "parameter"
                                  : output.kind == Kind::kUserInputMutation ? "input"
                                                                            : "output of kind";
    names += fmt::format("{}{} '{}'", names.empty() ? "" : ", ", what, output.target);
  }
  if (names.empty()) return {};
  return unsupported(
      "each run of the model changes {}; running such states is not supported yet: pass the old value in "
      "as an input and return the new one as an output",
      names);
}

// Symbols that the inputs' sizes, or number inputs, give; by name, as the program has them.
std::vector<Symbol> bound_symbols(const ExportedProgram& program) {
  std::vector<std::string> names;
  for (const InputSpecEntry& input : program.inputs) {
    if (const auto* tensor = std::get_if<TensorName>(&input.argument)) {
      const auto meta = program.tensors.find(tensor->name);
      if (meta == program.tensors.end()) continue;
      for (const Dim& size : meta->second.sizes) size.collect_symbols(names);
    }
    if (const auto* number = std::get_if<SymName>(&input.argument)) {
      const auto dim = program.sym_ints.find(number->name);
      if (dim != program.sym_ints.end()) dim->second.collect_symbols(names);
    }
  }
  std::vector<Symbol> bound;
  for (const Symbol& symbol : program.symbols) {
    if (std::find(names.begin(), names.end(), symbol.name) != names.end()) bound.push_back(symbol);
  }
  std::sort(bound.begin(), bound.end(), [](const Symbol& a, const Symbol& b) { return a.name < b.name; });
  return bound;
}

Status lower_outputs(const ExportedProgram& program, const ValuesByName& values, ir::Graph& graph) {
  const std::vector<std::string> names = output_names(program);
  size_t index = 0;
  for (const OutputSpecEntry& output : program.outputs) {
    const std::string& name = names[index++];
    if (const auto* tensor = std::get_if<TensorName>(&output.argument)) {
      const auto found = values.find(tensor->name);
      if (found == values.end()) return corrupt("nothing makes the output '{}'", tensor->name);
      graph.add_output(found->second, name);
    } else if (const auto* number = std::get_if<SymName>(&output.argument)) {
      HR_ASSIGN(Dim dim, number_of(program, number->name));
      graph.add_number_output(std::move(dim), name);
    } else if (const auto* constant = std::get_if<int64_t>(&output.argument)) {
      graph.add_number_output(*constant, name);
    } else if (std::holds_alternative<NoneArgument>(output.argument)) {
      graph.add_none_output(name);
    } else {
      return unsupported("output '{}' is {}; tensors, ints and None are supported", name,
                         json_text(output.argument));
    }
  }
  return {};
}

// By the symbols' ranges alone.
bool always_holds(const Guard& guard, const std::vector<Symbol>& symbols) {
  using Relation = Guard::Relation;
  const auto at_most = [&](const Dim& a, const Dim& b) { return always_at_most(a, b, symbols); };
  switch (guard.relation) {
    case Relation::kEq: return guard.left == guard.right;
    case Relation::kNe: return at_most(guard.left + 1, guard.right) || at_most(guard.right + 1, guard.left);
    case Relation::kLt: return at_most(guard.left + 1, guard.right);
    case Relation::kLe: return at_most(guard.left, guard.right);
    case Relation::kGt: return at_most(guard.right + 1, guard.left);
    case Relation::kGe: return at_most(guard.right, guard.left);
  }
  return false;
}

// Those that the ranges do not imply, each once.
void add_guards(const std::vector<Guard>& guards, ir::Graph& graph) {
  for (const Guard& guard : guards) {
    const bool known = std::find(graph.guards.begin(), graph.guards.end(), guard) != graph.guards.end();
    if (!known && !always_holds(guard, graph.symbols)) graph.guards.push_back(guard);
  }
}

}  // namespace

Result<ir::Graph> lower_program(const ExportedProgram& program, const StorageReader& read) {
  HR_TRY(check_mutations(program));
  ir::Graph graph;
  graph.symbols = bound_symbols(program);
  ValuesByName values;
  HR_TRY(lower_inputs(program, read, graph, values));
  HR_ASSIGN(const std::vector<Guard> asserted, lower_nodes(program, graph, values));
  HR_TRY(lower_outputs(program, values, graph));
  add_guards(parse_guards(program).guards, graph);
  add_guards(asserted, graph);
  graph.in_spec = program.in_spec;
  graph.out_spec = program.out_spec;
  return graph;
}

std::vector<std::string> conditions_not_read(const ExportedProgram& program) {
  return parse_guards(program).not_understood;
}

}  // namespace headrace::frontend
