#include "frontend/program_graph.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "frontend/program_nodes.h"

namespace headrace::frontend {
namespace {

// The name of a value that an argument is, or its value where it is a plain one.
Argument spec_argument(const Json& arg, bool is_union) {
  if (is_union) return read_argument(arg);
  return read_tensor_name(arg);
}

struct InputKind {
  std::string_view tag;
  InputSpecEntry::Kind kind;
  std::string_view target;  // the key of the target's name
};
constexpr InputKind kInputKinds[] = {
    {"parameter", InputSpecEntry::Kind::kParameter, "parameter_name"},
    {"buffer", InputSpecEntry::Kind::kBuffer, "buffer_name"},
    {"tensor_constant", InputSpecEntry::Kind::kTensorConstant, "tensor_constant_name"},
    {"custom_obj", InputSpecEntry::Kind::kCustomObject, "custom_obj_name"},
    {"token", InputSpecEntry::Kind::kToken, ""},
    {"user_input", InputSpecEntry::Kind::kUserInput, ""},
    {"constant_input", InputSpecEntry::Kind::kConstantInput, "name"},
};

InputSpecEntry read_input_spec(const Json& json, ProgramReader& reader) {
  InputSpecEntry entry;
  const auto [tag, spec] = json.one_of();
  const auto* kind = std::find_if(std::begin(kInputKinds), std::end(kInputKinds),
                                  [name = tag](const InputKind& k) { return k.tag == name; });
  if (kind == std::end(kInputKinds)) {
    reader.errors.note(unsupported("an input of kind '{}', which this version does not know", tag));
    return entry;
  }
  entry.kind = kind->kind;
  if (!kind->target.empty()) entry.target = spec[kind->target].text();
  switch (entry.kind) {
    case InputSpecEntry::Kind::kConstantInput: entry.argument = read_argument(spec["value"]); break;
    case InputSpecEntry::Kind::kCustomObject:
      entry.argument =
          NamedConstant{NamedConstant::Kind::kCustomObject, std::string(spec["arg"]["name"].text())};
      break;
    case InputSpecEntry::Kind::kToken:
      entry.argument = NamedConstant{NamedConstant::Kind::kOther, std::string(spec["arg"]["name"].text())};
      break;
    default: entry.argument = spec_argument(spec["arg"], entry.kind == InputSpecEntry::Kind::kUserInput);
  }
  entry.persistent = spec["persistent"].flag(true);
  return entry;
}

OutputSpecEntry read_output_spec(const Json& json) {
  OutputSpecEntry entry;
  const auto [tag, spec] = json.one_of();
  if (tag == "user_output") {
    entry.argument = read_argument(spec["arg"]);
    return entry;
  }
  entry.argument = read_tensor_name(spec["arg"]);
  if (tag == "buffer_mutation") {
    entry.kind = OutputSpecEntry::Kind::kBufferMutation;
    entry.target = spec["buffer_name"].text();
  } else if (tag == "parameter_mutation") {
    entry.kind = OutputSpecEntry::Kind::kParameterMutation;
    entry.target = spec["parameter_name"].text();
  } else if (tag == "user_input_mutation") {
    entry.kind = OutputSpecEntry::Kind::kUserInputMutation;
    entry.target = spec["user_input_name"].text();
  } else {
    entry.kind = OutputSpecEntry::Kind::kOther;
    entry.target = tag;
  }
  return entry;
}

// s where affine(s) = value; the one unknown of a size such as 8*s1 whose example is known.
std::optional<int64_t> solve_affine(const Dim& dim, const std::string& symbol, int64_t value) {
  const auto at = [&](int64_t s) -> std::optional<int64_t> {
    const Result<int64_t> result = dim.evaluate({{symbol, s}});
    return result.ok() ? std::optional(*result) : std::nullopt;
  };
  const auto zero = at(0), one = at(1);
  int64_t slope = 0, rest = 0;
  if (!zero || !one || __builtin_sub_overflow(*one, *zero, &slope) || slope == 0) return std::nullopt;
  if (__builtin_sub_overflow(value, *zero, &rest) || slope == -1) return std::nullopt;
  const int64_t solution = rest / slope;
  return at(solution) == value ? std::optional(solution) : std::nullopt;
}

// The example's value of each symbol that appears alone in some size; of the others by solving.
std::map<std::string, std::optional<int64_t>> example_values(const ProgramReader& reader) {
  std::map<std::string, std::optional<int64_t>> values;
  for (const bool alone : {true, false}) {
    for (const auto& [text, size] : reader.sizes) {
      std::vector<std::string> names;
      size.dim.collect_symbols(names);
      for (const std::string& name : names) {
        std::optional<int64_t>& value = values[name];
        const bool solvable = size.hint && !value && names.size() == 1;
        if (!solvable || (size.dim.kind() == Dim::Kind::kSymbol) != alone) continue;
        value = alone ? *size.hint : solve_affine(size.dim, name, *size.hint);
      }
    }
  }
  return values;
}

}  // namespace

std::string location_of(std::string_view stack_trace) {
  constexpr std::string_view kFile = "File \"", kLine = "\", line ";
  for (size_t end = stack_trace.size(); end > 0;) {
    const size_t start = stack_trace.rfind(kFile, end - 1);
    if (start == std::string_view::npos) return "";
    end = start;
    const size_t path_at = start + kFile.size();
    const size_t path_end = stack_trace.find(kLine, path_at);
    if (path_end == std::string_view::npos) continue;
    const std::string_view path = stack_trace.substr(path_at, path_end - path_at);
    const bool in_torch =
        path.starts_with("torch/") || path.find("-packages/torch/") != std::string_view::npos;
    const bool generated = path.starts_with('<');  // "<eval_with_key>.131"
    if (in_torch || generated || path.find('\n') != std::string_view::npos) continue;
    const std::string_view line = stack_trace.substr(path_end + kLine.size());
    const size_t digits = std::min(line.find_first_not_of("0123456789"), line.size());
    if (digits == 0) continue;
    return fmt::format("{}:{}", path.substr(path.find_last_of("/\\") + 1), line.substr(0, digits));
  }
  return "";
}

void read_graph(const Json& graph, ProgramReader& reader, ExportedProgram& program) {
  graph["tensor_values"].each_field([&](std::string_view name, const Json& meta) {
    reader.errors.where = fmt::format("model.json, tensor '{}'", name);
    program.tensors[std::string(name)] = read_tensor_meta(meta, reader);
  });
  graph["sym_int_values"].each_field([&](std::string_view name, const Json& value) {
    reader.errors.where = fmt::format("model.json, symbolic int '{}'", name);
    program.sym_ints[std::string(name)] = read_sym_int(value, reader);
  });
  read_nodes(graph["nodes"], reader, program);
  reader.errors.where = "model.json";
}

void read_signature(const Json& signature, const Json& graph_inputs, ProgramReader& reader,
                    ExportedProgram& program) {
  reader.errors.where = "model.json, signature";
  size_t in_graph = 0;
  graph_inputs.each_item([&](const Json&) { ++in_graph; });
  signature["input_specs"].each_item(
      [&](const Json& spec) { program.inputs.push_back(read_input_spec(spec, reader)); });
  signature["output_specs"].each_item(
      [&](const Json& spec) { program.outputs.push_back(read_output_spec(spec)); });
  if (in_graph != program.inputs.size()) {
    reader.errors.note(corrupt("the graph has {} inputs, its signature {}", in_graph, program.inputs.size()));
  }
  reader.errors.where = "model.json";
}

void read_symbols(const Json& ranges, ProgramReader& reader, ExportedProgram& program) {
  std::map<std::string, Symbol> symbols;
  const auto examples = example_values(reader);
  for (const auto& [name, example] : examples) symbols[name] = {name, 0, 0, kUnboundedSize};
  ranges.each_field([&](std::string_view key, const Json& range) {
    reader.errors.where = fmt::format("model.json, range of '{}'", key);
    // A range of an expression ("8*s1") follows from its symbols' own, which torch.export writes as well.
    const Result<Dim> dim = Dim::parse(key);
    if (!dim.ok() || dim->kind() != Dim::Kind::kSymbol) return;
    Symbol& symbol = symbols[dim->name()];
    symbol = {dim->name(), 0, 0, kUnboundedSize};
    symbol.min = std::clamp<int64_t>(range["min_val"].integer(0), 0, kUnboundedSize);
    symbol.max = std::min(range["max_val"].integer(kUnboundedSize), kUnboundedSize);
    if (symbol.min > symbol.max) reader.errors.note(corrupt("it is empty, {} to {}", symbol.min, symbol.max));
  });
  for (auto& [name, symbol] : symbols) {
    if (symbol.min > symbol.max) continue;  // noted above
    const auto example = examples.find(name);
    const int64_t opt = example == examples.end() ? symbol.min : example->second.value_or(symbol.min);
    symbol.opt = std::clamp(opt, symbol.min, symbol.max);
    program.symbols.push_back(symbol);
  }
  reader.errors.where = "model.json";
}

namespace {

// The names that an argument uses or makes.
void collect_names(const Argument& argument, std::vector<const std::string*>& tensors,
                   std::vector<const std::string*>& numbers) {
  if (const auto* tensor = std::get_if<TensorName>(&argument)) tensors.push_back(&tensor->name);
  if (const auto* number = std::get_if<SymName>(&argument)) numbers.push_back(&number->name);
  if (const auto* list = std::get_if<std::vector<std::optional<TensorName>>>(&argument)) {
    for (const auto& tensor : *list) {
      if (tensor) tensors.push_back(&tensor->name);
    }
  }
  if (const auto* list = std::get_if<std::vector<IntOrSym>>(&argument)) {
    for (const IntOrSym& entry : *list) {
      if (const auto* number = std::get_if<SymName>(&entry)) numbers.push_back(&number->name);
    }
  }
}

class NameCheck {
 public:
  explicit NameCheck(const ExportedProgram& program) : program_(program) {}

  Status made(const Argument& argument, std::string_view by) {
    std::vector<const std::string*> names;
    collect_names(argument, names, names);
    for (const std::string* name : names) {
      if (!name->empty() && !made_.insert(*name).second) {
        return corrupt("model.json: {} makes '{}', which exists already", by, *name);
      }
    }
    return {};
  }
  Status used(const Argument& argument, std::string_view by) const {
    std::vector<const std::string*> tensors, numbers;
    collect_names(argument, tensors, numbers);
    for (const std::string* name : tensors) {
      if (program_.tensors.find(*name) == program_.tensors.end()) {
        return corrupt("model.json: {} uses tensor '{}', which has no description", by, *name);
      }
    }
    numbers.insert(numbers.end(), tensors.begin(), tensors.end());
    for (const std::string* name : numbers) {
      if (made_.find(*name) == made_.end()) {
        return corrupt("model.json: {} uses '{}', which nothing before it makes", by, *name);
      }
    }
    return {};
  }

 private:
  const ExportedProgram& program_;
  std::set<std::string_view> made_;
};

}  // namespace

Status check_names(const ExportedProgram& program) {
  NameCheck check(program);
  for (const InputSpecEntry& input : program.inputs) {
    HR_TRY(check.made(input.argument, "the signature"));
    HR_TRY(check.used(input.argument, "the signature"));
  }
  for (const ProgramNode& node : program.nodes) {
    const std::string by = fmt::format("node '{}' ({})", node.name, node.target);
    for (const NamedArgument& input : node.inputs) HR_TRY(check.used(input.value, by));
    for (const Argument& output : node.outputs) HR_TRY(check.made(output, by));
  }
  for (const OutputSpecEntry& output : program.outputs) {
    if (output.kind != OutputSpecEntry::Kind::kOther) HR_TRY(check.used(output.argument, "an output"));
  }
  return {};
}

}  // namespace headrace::frontend
