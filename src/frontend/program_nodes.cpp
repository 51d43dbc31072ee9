#include "frontend/program_nodes.h"

#include <algorithm>
#include <optional>

#include "frontend/program_graph.h"

namespace headrace::frontend {
namespace {

constexpr int64_t kKeyword = 2;  // ArgumentKind.KEYWORD of the schema
constexpr int kDeepest = 16;     // nested graphs

// The program's name for each name of a nested graph.
using Renames = std::map<std::string, std::string, std::less<>>;

ProgramNode read_node(const Json& json, ProgramReader& reader) {
  ProgramNode node;
  node.target = json["target"].text();
  node.name = json["name"].text();
  reader.errors.where = fmt::format("model.json, node '{}' ({})", node.name, node.target);
  json["inputs"].each_item([&](const Json& input) {
    node.inputs.push_back({std::string(input["name"].text()), read_argument(input["arg"]),
                           input["kind"].integer() == kKeyword});
  });
  json["outputs"].each_item([&](const Json& output) { node.outputs.push_back(read_argument(output)); });
  node.location = location_of(json["metadata"]["stack_trace"].text());
  return node;
}

// A node without a name (older minors) goes by its first output's.
void name_node(ProgramNode& node) {
  if (!node.name.empty() || node.outputs.empty()) return;
  if (const auto* tensor = std::get_if<TensorName>(&node.outputs[0])) node.name = tensor->name;
  if (const auto* number = std::get_if<SymName>(&node.outputs[0])) node.name = number->name;
}

// The name of a tensor or number; nullptr where the argument is something else.
template <class A>  // Argument, const or not
auto name_in(A& argument) -> decltype(&std::get_if<TensorName>(&argument)->name) {
  if (auto* tensor = std::get_if<TensorName>(&argument)) return &tensor->name;
  if (auto* number = std::get_if<SymName>(&argument)) return &number->name;
  return nullptr;
}

template <class F>
void each_name(Argument& argument, const F& f) {
  if (std::string* name = name_in(argument)) f(*name);
  if (auto* list = std::get_if<std::vector<std::optional<TensorName>>>(&argument)) {
    for (auto& tensor : *list) {
      if (tensor) f(tensor->name);
    }
  }
  if (auto* list = std::get_if<std::vector<IntOrSym>>(&argument)) {
    for (IntOrSym& entry : *list) {
      if (auto* number = std::get_if<SymName>(&entry)) f(number->name);
    }
  }
}

void rename(ProgramNode& node, const Renames& renames) {
  const auto apply = [&](std::string& name) {
    const auto found = renames.find(name);
    if (found != renames.end()) name = found->second;
  };
  for (NamedArgument& input : node.inputs) each_name(input.value, apply);
  for (Argument& output : node.outputs) each_name(output, apply);
  apply(node.name);
}

// A list that is all of a node's outputs stands for its entries.
std::vector<Argument> outputs_of(const ProgramNode& node) {
  if (node.outputs.size() == 1) {
    if (const auto* list = std::get_if<std::vector<std::optional<TensorName>>>(&node.outputs.front())) {
      std::vector<Argument> all;
      for (const auto& tensor : *list) all.push_back(tensor ? Argument(*tensor) : Argument(NoneArgument{}));
      return all;
    }
  }
  return node.outputs;
}

class NodeReader {
 public:
  NodeReader(ProgramReader& reader, ExportedProgram& program) : reader_(reader), program_(program) {}

  void read(const Json& nodes, const Renames& renames, int depth) {
    nodes.each_item([&](const Json& json) {
      ProgramNode node = read_node(json, reader_);
      name_node(node);
      rename(node, renames);
      if (depth > kDeepest || !inlined(json, node, depth)) program_.nodes.push_back(std::move(node));
    });
  }

 private:
  // wrap_with_set_grad_enabled(enabled, graph, inputs…), and autocast that is off: the graph as it stands.
  static std::optional<size_t> graph_argument(const ProgramNode& node) {
    if (node.target == "torch.ops.higher_order.wrap_with_set_grad_enabled") return 1;
    const bool autocast = node.target == "torch.ops.higher_order.wrap_with_autocast";
    if (autocast && node.inputs.size() > 4 && node.inputs[2].value == Argument(false)) return 4;
    return std::nullopt;
  }

  bool inlined(const Json& json, const ProgramNode& node, int depth) {
    const std::optional<size_t> at = graph_argument(node);
    if (!at || node.inputs.size() <= *at) return false;
    Json nested;
    size_t index = 0;
    json["inputs"].each_item([&](const Json& input) {
      if (index++ == *at) nested = input["arg"]["as_graph"]["graph"];
    });
    if (!nested.present()) return false;
    Renames renames;
    const std::span arguments = std::span(node.inputs).subspan(*at + 1);
    if (!bind_inputs(nested, arguments, renames)) return false;
    const std::vector<Argument> results = bind_outputs(nested, outputs_of(node), renames);
    name_the_rest(nested, node.name, renames);
    read(nested["nodes"], renames, depth + 1);
    for (size_t i = 0; i < results.size(); ++i) copy_result(nested, node, i, results[i], renames);
    return true;
  }

  // False where they do not correspond one to one.
  static bool bind_inputs(const Json& nested, std::span<const NamedArgument> arguments, Renames& renames) {
    size_t index = 0;
    bool fits = true;
    nested["inputs"].each_item([&](const Json& json) {
      const Argument inner = read_argument(json);
      const std::string* name = name_in(inner);
      const std::string* outer = index < arguments.size() ? name_in(arguments[index].value) : nullptr;
      ++index;
      if (name && outer) renames[*name] = *outer;
      fits = fits && (name != nullptr) == (outer != nullptr);
    });
    return fits && index == arguments.size();
  }

  // Results that the nested graph makes take the outer names. Gives those that need a copy: an input given
  // back, or one value twice; the others as None.
  static std::vector<Argument> bind_outputs(const Json& nested, const std::vector<Argument>& outer,
                                            Renames& renames) {
    std::vector<Argument> copies(outer.size(), NoneArgument{});
    size_t index = 0;
    nested["outputs"].each_item([&](const Json& json) {
      const size_t i = index++;
      const Argument inner = read_argument(json);
      const std::string *name = name_in(inner), *wanted = i < outer.size() ? name_in(outer[i]) : nullptr;
      if (name && wanted && !renames.try_emplace(*name, *wanted).second) copies[i] = outer[i];
    });
    return copies;
  }

  // Names inside that nothing outside knows; those that are taken get the node's name before them.
  void name_the_rest(const Json& nested, const std::string& prefix, Renames& renames) {
    const auto rename_free = [&](std::string_view name) {
      if (renames.find(name) != renames.end()) return;
      std::string free(name);
      while (program_.tensors.count(free) + program_.sym_ints.count(free) > 0) free = prefix + "." + free;
      renames[std::string(name)] = free;
    };
    nested["tensor_values"].each_field([&](std::string_view name, const Json& meta) {
      rename_free(name);
      program_.tensors.try_emplace(renames.find(name)->second, read_tensor_meta(meta, reader_));
    });
    nested["sym_int_values"].each_field([&](std::string_view name, const Json& value) {
      rename_free(name);
      program_.sym_ints.try_emplace(renames.find(name)->second, read_sym_int(value, reader_));
    });
  }

  // `result` as another name for what the nested graph gives as output `index`.
  void copy_result(const Json& nested, const ProgramNode& node, size_t index, const Argument& result,
                   const Renames& renames) {
    if (!std::holds_alternative<TensorName>(result)) return;
    size_t i = 0;
    nested["outputs"].each_item([&](const Json& json) {
      if (i++ != index) return;
      Argument value = read_argument(json);
      each_name(value, [&](std::string& name) { name = renames.find(name)->second; });
      program_.nodes.push_back({"torch.ops.aten.alias.default",
                                {{"self", std::move(value), false}},
                                {result},
                                std::get<TensorName>(result).name,
                                node.location});
    });
  }

  ProgramReader& reader_;
  ExportedProgram& program_;
};

}  // namespace

void read_nodes(const Json& nodes, ProgramReader& reader, ExportedProgram& program) {
  NodeReader(reader, program).read(nodes, {}, 0);
}

}  // namespace headrace::frontend
