#include "frontend/lower_nodes.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "frontend/aliases.h"
#include "frontend/overload.h"
#include "frontend/unsupported_report.h"

namespace headrace::frontend {
namespace {

using ir::Guard;

std::string_view short_target(std::string_view target) {
  constexpr std::string_view kPrefix = "torch.ops.";
  if (target.starts_with(kPrefix)) target.remove_prefix(kPrefix.size());
  return target;
}

std::optional<Guard::Relation> relation_of(std::string_view target) {
  using Relation = Guard::Relation;
  if (target == "_operator.eq") return Relation::kEq;
  if (target == "_operator.ne") return Relation::kNe;
  if (target == "_operator.lt") return Relation::kLt;
  if (target == "_operator.le") return Relation::kLe;
  if (target == "_operator.gt") return Relation::kGt;
  if (target == "_operator.ge") return Relation::kGe;
  return std::nullopt;
}

// Ops that may give their very input back, though their schemas do not say so.
bool may_return_input(std::string_view target) {
  constexpr std::string_view kTargets[] = {"aten.dropout.default",       "aten.feature_dropout.default",
                                           "aten.alpha_dropout.default", "aten.type_as.default",
                                           "aten.meshgrid.default",      "aten.meshgrid.indexing"};
  return std::find(std::begin(kTargets), std::end(kTargets), target) != std::end(kTargets);
}

struct Row {
  const TableRow* row = nullptr;
  bool in_place = false;
};

// "aten.add_.Tensor" is the row of "aten.add.Tensor", written back.
Row find_row(std::string_view target) {
  if (const TableRow* row = find_overload(target)) return {row, false};
  if (target == "aten.pow_.Scalar") return {find_overload("aten.pow.Tensor_Scalar"), true};
  if (target == "aten.pow_.Tensor") return {find_overload("aten.pow.Tensor_Tensor"), true};
  const size_t dot = target.rfind('.');
  if (dot == std::string_view::npos || dot < 2 || target[dot - 1] != '_' || target[dot - 2] == '_') return {};
  std::string functional(target);
  functional.erase(dot - 1, 1);
  return {find_overload(functional), true};
}

class NodeLowering {
 public:
  NodeLowering(const ExportedProgram& program, ir::Graph& graph, ValuesByName& values)
      : program_(program), graph_(graph), values_(values) {}

  Result<std::vector<Guard>> run() {
    find_last_uses();
    std::set<std::string_view> distinct;
    for (at_ = 0; at_ < static_cast<int64_t>(program_.nodes.size()); ++at_) {
      const ProgramNode& node = program_.nodes[static_cast<size_t>(at_)];
      distinct.insert(node.target);
      const Status status = lower_node(node);
      if (status.ok()) continue;
      if (status.code() != Code::kUnsupported) return status.with_context(where(node));
      report(node, status.message(), fix_);
    }
    if (!report_.empty()) return report_.status(distinct.size());
    return asserted_;
  }

 private:
  static std::string where(const ProgramNode& node) {
    const std::string at = node.location.empty() ? "" : fmt::format(" ({})", node.location);
    return fmt::format("node '{}'{}, {}", node.name, at, short_target(node.target));
  }

  void find_last_uses() {
    const auto use = [&](const Argument& argument, int64_t at) {
      if (const auto* tensor = std::get_if<TensorName>(&argument)) last_use_[tensor->name] = at;
      const auto* list = std::get_if<std::vector<std::optional<TensorName>>>(&argument);
      for (const auto& tensor : list ? *list : std::vector<std::optional<TensorName>>()) {
        if (tensor) last_use_[tensor->name] = at;
      }
    };
    const auto nodes = static_cast<int64_t>(program_.nodes.size());
    for (int64_t i = 0; i < nodes; ++i) {
      for (const NamedArgument& input : program_.nodes[static_cast<size_t>(i)].inputs) use(input.value, i);
    }
    for (const OutputSpecEntry& output : program_.outputs) use(output.argument, nodes);
  }

  bool used_after(const std::string& name, int64_t at) const {
    const auto found = last_use_.find(name);
    return found != last_use_.end() && found->second > at;
  }

  // Errors: kUnsupported is why, for the report; fix_ goes with it.
  Status lower_node(const ProgramNode& node) {
    fix_ = Fix::kNone;
    const std::string_view target = short_target(node.target);
    if (is_shape_arithmetic(target)) return check_numbers(node);
    if (const auto relation = relation_of(target)) return note_condition(node, *relation);
    if (target == "aten._assert_scalar.default") return assert_condition(node);
    if (target == "aten._assert_tensor_metadata.default") return assert_metadata(node);
    if (target.starts_with("aten.sym_constrain_range")) return {};
    const Row found = find_row(target);
    if (!found.row) return no_lowering(target);
    Call call;
    call.target = target;
    call.source = {node.name, node.location};
    HR_TRY(make_call(node, found, call));
    HR_ASSIGN(const std::vector<Value*> values, lower_call(call, *found.row, graph_));
    return found.in_place ? write_back(node, values.front()) : name_results(node, *found.row, values);
  }

  Status no_lowering(std::string_view target) {
    fix_ = program_.decomposed ? Fix::kNone : Fix::kDecompose;
    if (target.starts_with("higher_order.wrap_with")) return unsupported("a part in a mode of its own");
    if (target.starts_with("higher_order.")) {
      fix_ = Fix::kNone;
      return unsupported("control flow is not supported");
    }
    return unsupported("no lowering");
  }

  Status make_call(const ProgramNode& node, const Row& found, Call& call) {
    call.in_place = found.in_place;
    bool first = true;
    for (const NamedArgument& input : node.inputs) {
      HR_ASSIGN(CallArgument value, resolve(input.value));
      std::string name = input.name;
      if (first) {
        // An in-place op's tensor is "self" whatever the functional one calls it.
        if (found.in_place) name = found.row->schema.arguments.front().name;
        call.row_major = is_row_major(input.value);
      }
      first = false;
      call.arguments.emplace_back(std::move(name), std::move(value));
    }
    for (const std::string& name : results_of(node)) {
      HR_ASSIGN(ir::Type type, type_of(name));
      call.outputs.push_back({std::move(type), used_after(name, -1)});
    }
    return {};
  }

  bool is_row_major(const Argument& argument) const {
    const auto* tensor = std::get_if<TensorName>(&argument);
    const auto meta = tensor ? program_.tensors.find(tensor->name) : program_.tensors.end();
    if (meta == program_.tensors.end()) return true;
    return meta->second.strides == row_major_strides(std::span<const Dim>(meta->second.sizes));
  }

  // Tensors that the node makes, those of a list one by one.
  static std::vector<std::string> results_of(const ProgramNode& node) {
    std::vector<std::string> names;
    for (const Argument& output : node.outputs) {
      if (const auto* tensor = std::get_if<TensorName>(&output)) names.push_back(tensor->name);
      const auto* list = std::get_if<std::vector<std::optional<TensorName>>>(&output);
      for (const auto& tensor : list ? *list : std::vector<std::optional<TensorName>>()) {
        if (tensor) names.push_back(tensor->name);
      }
    }
    return names;
  }

  Result<ir::Type> type_of(const std::string& name) const {
    const auto found = program_.tensors.find(name);
    if (found == program_.tensors.end()) return corrupt("tensor '{}' has no description", name);
    const TensorMeta& meta = found->second;
    if (!meta.unsupported_dtype.empty())
      return unsupported("its result is of type {}, which is not supported", meta.unsupported_dtype);
    if (meta.layout != "strided") return unsupported("its result is a {} tensor", meta.layout);
    std::vector<std::string> symbols;
    for (const Dim& size : meta.sizes) size.collect_symbols(symbols);
    for (const std::string& symbol : symbols) {
      const bool bound = std::any_of(graph_.symbols.begin(), graph_.symbols.end(),
                                     [&](const Symbol& known) { return known.name == symbol; });
      if (!bound) return unsupported("the size of its result depends on values ({})", symbol);
    }
    return ir::Type{meta.dtype, meta.sizes};
  }

  // --- Arguments.

  Result<Value*> value_of(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return corrupt("nothing makes the tensor '{}'", name);
    return found->second;
  }

  Result<CallArgument> resolve(const Argument& argument) const {
    if (const auto* tensor = std::get_if<TensorName>(&argument)) {
      HR_ASSIGN(Value * value, value_of(tensor->name));
      return CallArgument(value);
    }
    if (const auto* list = std::get_if<std::vector<std::optional<TensorName>>>(&argument)) {
      std::vector<Value*> values;
      for (const auto& tensor : *list) {
        values.push_back(nullptr);
        if (!tensor) continue;
        HR_ASSIGN(values.back(), value_of(tensor->name));
      }
      return CallArgument(std::move(values));
    }
    if (const auto* number = std::get_if<SymName>(&argument)) {
      HR_ASSIGN(Dim dim, number_of(program_, number->name));
      return CallArgument(std::move(dim));
    }
    if (const auto* list = std::get_if<std::vector<IntOrSym>>(&argument)) {
      std::vector<Dim> dims;
      for (const IntOrSym& entry : *list) {
        if (const auto* constant = std::get_if<int64_t>(&entry)) dims.emplace_back(*constant);
        if (const auto* number = std::get_if<SymName>(&entry)) {
          HR_ASSIGN(Dim dim, number_of(program_, number->name));
          dims.push_back(std::move(dim));
        }
      }
      return CallArgument(std::move(dims));
    }
    return plain_argument(argument);
  }

  static CallArgument plain_argument(const Argument& argument) {
    if (const auto* v = std::get_if<int64_t>(&argument)) return Dim(*v);
    if (const auto* v = std::get_if<double>(&argument)) return *v;
    if (const auto* v = std::get_if<bool>(&argument)) return *v;
    if (const auto* v = std::get_if<std::string>(&argument)) return *v;
    if (const auto* v = std::get_if<DType>(&argument)) return *v;
    if (const auto* v = std::get_if<std::vector<double>>(&argument)) return *v;
    if (const auto* v = std::get_if<std::vector<bool>>(&argument)) return *v;
    if (const auto* v = std::get_if<NamedConstant>(&argument)) return *v;
    return std::monostate();
  }

  // --- Results.

  Status name_results(const ProgramNode& node, const TableRow& row, const std::vector<Value*>& values) {
    const std::vector<std::string> names = results_of(node);
    const std::string base = viewed(node, row);
    for (size_t i = 0; i < names.size(); ++i) {
      values_[names[i]] = values[i];
      if (!base.empty() && shares_storage(node, row, names[i], values[i], base)) {
        aliases_.add_view(names[i], base);
      } else {
        aliases_.add_fresh(names[i]);
      }
    }
    return {};
  }

  // The tensor that the results may be views of; empty where there is none.
  std::string viewed(const ProgramNode& node, const TableRow& row) const {
    if (!row.schema.returns_view && !may_return_input(row.schema.target)) return "";
    if (node.inputs.empty()) return "";
    if (const auto* tensor = std::get_if<TensorName>(&node.inputs.front().value)) return tensor->name;
    return "";
  }

  // A result with all the elements of its input is a copy where the strides differ, or the dtype.
  bool shares_storage(const ProgramNode& node, const TableRow& row, const std::string& name,
                      const Value* value, const std::string& base) const {
    const bool cast = program_.tensors.at(name).dtype != program_.tensors.at(base).dtype;
    for (const NamedArgument& input : node.inputs) {
      if (input.name == "copy" && input.value == Argument(true)) return false;
    }
    if (value != values_.at(base)) return !cast && row.schema.returns_view;
    return program_.tensors.at(name).strides == program_.tensors.at(base).strides;
  }

  // `x.add_(y)`: x, and every name for the same elements, means the new value from here on.
  Status write_back(const ProgramNode& node, Value* value) {
    const auto* written = std::get_if<TensorName>(&node.inputs.front().value);
    if (!written) return unsupported("what it writes to is no tensor");
    const Value* old = values_.at(written->name);
    std::vector<std::string> renewed;
    for (const std::string& name : aliases_.sharing(written->name)) {
      HR_TRY(check_may_change(name));
      if (values_.at(name) == old) {
        renewed.push_back(name);
      } else if (used_after(name, at_)) {
        fix_ = Fix::kDecompose;
        return unsupported("it changes a tensor of which another view is used later");
      }
    }
    for (const std::string& name : renewed) values_[name] = value;
    for (const std::string& name : results_of(node)) {
      values_[name] = value;
      aliases_.add_view(name, written->name);
    }
    return {};
  }

  // What outlives a run, or is the caller's, stays as it is.
  Status check_may_change(const std::string& name) const {
    for (const InputSpecEntry& input : program_.inputs) {
      const auto* tensor = std::get_if<TensorName>(&input.argument);
      if (!tensor || tensor->name != name) continue;
      if (input.kind == InputSpecEntry::Kind::kUserInput)
        return unsupported("it changes the input '{}' in place; work on a clone of it", name);
      return unsupported("it changes '{}', a state; states that a run changes are not supported yet",
                         input.target);
    }
    return {};
  }

  // An op that is not supported: the walk goes on with values of its results' types, to report all at once.
  void report(const ProgramNode& node, const std::string& why, Fix fix) {
    report_.add(short_target(node.target), {node.name, node.location}, why, fix);
    for (const std::string& name : results_of(node)) {
      const auto meta = program_.tensors.find(name);
      if (meta == program_.tensors.end()) continue;
      values_[name] = graph_.add_state(name, {meta->second.dtype, meta->second.sizes});
      aliases_.add_fresh(name);
    }
  }

  // --- Numbers and assertions.

  Status check_numbers(const ProgramNode& node) const {
    for (const Argument& output : node.outputs) {
      const auto* number = std::get_if<SymName>(&output);
      // One that is no int, such as sym_float's, is refused where it is used.
      if (!number) return unsupported("its result is no number");
    }
    return {};
  }

  Result<Dim> operand(const ProgramNode& node, size_t index) const {
    if (index >= node.inputs.size()) return unsupported("an operand is missing");
    HR_ASSIGN(const CallArgument value, resolve(node.inputs[index].value));
    if (const auto* dim = std::get_if<Dim>(&value)) return *dim;
    return unsupported("it compares numbers that are no ints");
  }

  Status note_condition(const ProgramNode& node, Guard::Relation relation) {
    HR_ASSIGN(Dim left, operand(node, 0));
    HR_ASSIGN(Dim right, operand(node, 1));
    const auto* name = node.outputs.empty() ? nullptr : std::get_if<SymName>(&node.outputs.front());
    if (!name) return unsupported("its result is no bool");
    conditions_[name->name] = Guard{std::move(left), std::move(right), relation};
    return {};
  }

  Status assert_condition(const ProgramNode& node) {
    if (node.inputs.empty()) return unsupported("it asserts nothing");
    const Argument& condition = node.inputs.front().value;
    if (condition == Argument(true)) return {};
    const auto* name = std::get_if<SymName>(&condition);
    const auto found = name ? conditions_.find(name->name) : conditions_.end();
    if (found == conditions_.end()) return unsupported("a condition on values is not supported");
    asserted_.push_back(found->second);
    return {};
  }

  Status assert_metadata(const ProgramNode& node) const {
    const Value* value = nullptr;
    std::optional<DType> dtype;
    for (const NamedArgument& input : node.inputs) {
      if (const auto* tensor = std::get_if<TensorName>(&input.value)) {
        HR_ASSIGN(value, value_of(tensor->name));
      }
      if (const auto* wanted = std::get_if<DType>(&input.value)) dtype = *wanted;
    }
    if (!value || !dtype || value->dtype() == *dtype) return {};
    return internal_error("it asserts {}, but its tensor is {}", dtype_name(*dtype),
                          dtype_name(value->dtype()));
  }

  const ExportedProgram& program_;
  ir::Graph& graph_;
  ValuesByName& values_;
  Aliases aliases_;
  std::map<std::string, int64_t, std::less<>> last_use_;  // node index; one past the last for outputs
  std::map<std::string, Guard, std::less<>> conditions_;
  std::vector<Guard> asserted_;
  UnsupportedReport report_;
  Fix fix_ = Fix::kNone;  // what helps where the node at hand is not supported
  int64_t at_ = 0;
};

}  // namespace

Result<Dim> number_of(const ExportedProgram& program, const std::string& name) {
  const auto found = program.sym_ints.find(name);
  if (found == program.sym_ints.end()) return unsupported("the number '{}' is no int", name);
  return found->second;
}

Result<std::vector<Guard>> lower_nodes(const ExportedProgram& program, ir::Graph& graph,
                                       ValuesByName& values) {
  return NodeLowering(program, graph, values).run();
}

}  // namespace headrace::frontend
