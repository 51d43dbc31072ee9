// The parser of the text form; docs/ir.md has its grammar.
#include <charconv>
#include <cstring>

#include "core/error.h"
#include "ir/graph.h"
#include "ir/scanner.h"

namespace headrace::ir {
namespace {

struct TypedName {
  std::string name;
  Type type;
  bool weight = false;
  bool typed = false;  // a node's result need not say its type
};

class Parser {
 public:
  explicit Parser(std::string_view text) : in_(text) {}

  Result<Graph> run() {
    HR_TRY(in_.expect("graph"));
    HR_TRY(parameters());
    HR_TRY(header());
    HR_TRY(in_.expect("{"));
    while (!in_.take_word("return")) HR_TRY(statement());
    if (!in_.peek("}")) HR_TRY(outputs());
    HR_TRY(in_.expect("}"));
    if (!in_.at_end()) return in_.error("something follows the graph");
    HR_TRY(verify(graph_));
    return std::move(graph_);
  }

 private:
  // Items in parentheses, comma between them.
  template <class Item>
  Status list(std::string_view close, Item&& item) {
    if (in_.take(close)) return {};
    do {
      HR_TRY(item());
    } while (in_.take(","));
    return in_.expect(close);
  }

  Result<Type> type() {
    const std::optional<DType> dtype = parse_dtype(in_.word());
    if (!dtype) return in_.error("expected a dtype");
    Type type{*dtype, {}};
    HR_TRY(in_.expect("["));
    HR_TRY(list("]", [&]() -> Status {
      HR_ASSIGN(Dim dim, in_.dim_until(",]"));
      type.shape.push_back(std::move(dim));
      return {};
    }));
    return type;
  }

  Result<TypedName> typed_name() {
    HR_ASSIGN(TypedName named, result_name());
    return named.typed ? Result<TypedName>(std::move(named)) : in_.expect(":");
  }

  Result<TypedName> result_name() {
    TypedName named;
    HR_ASSIGN(const std::string text, in_.reference());
    named.weight = text[0] == '@';
    named.name = text.substr(1);
    named.typed = in_.take(":");
    if (named.typed) {
      HR_ASSIGN(named.type, type());
    }
    return named;
  }

  Status parameters() {
    HR_TRY(in_.expect("("));
    return list(")", [&]() -> Status {
      if (!in_.peek("\"")) {
        HR_ASSIGN(TypedName named, typed_name());
        return defined_once(graph_.add_input(named.name, std::move(named.type)), named.name);
      }
      HR_ASSIGN(std::string name, in_.quoted());
      HR_TRY(in_.expect(":"));
      if (in_.take_word("dim")) {
        HR_TRY(in_.expect("("));
        graph_.add_number_input(std::move(name), std::string(in_.word()));
        return in_.expect(")");
      }
      if (!in_.take_word("const")) return in_.error("expected dim(…) or const(…)");
      HR_TRY(in_.expect("("));
      HR_ASSIGN(std::string constant, in_.quoted());
      graph_.add_constant_input(std::move(name), std::move(constant));
      return in_.expect(")");
    });
  }

  Status header() {
    if (in_.take_word("symbols")) {
      HR_TRY(in_.expect("("));
      HR_TRY(list(")", [&] { return symbol(); }));
    }
    if (in_.take_word("guards")) {
      HR_TRY(in_.expect("("));
      HR_TRY(list(")", [&] { return guard(); }));
    }
    for (const auto& [word, target] :
         {std::pair("in_spec", &graph_.in_spec), std::pair("out_spec", &graph_.out_spec)}) {
      if (!in_.take_word(word)) continue;
      HR_TRY(in_.expect("("));
      HR_ASSIGN(*target, in_.quoted());
      HR_TRY(in_.expect(")"));
    }
    return {};
  }

  Status symbol() {
    Symbol symbol;
    symbol.name = in_.word();
    HR_TRY(in_.expect(":"));
    HR_ASSIGN(symbol.min, in_.integer());
    HR_TRY(in_.expect("<="));
    HR_ASSIGN(symbol.opt, in_.integer());
    HR_TRY(in_.expect("<="));
    HR_ASSIGN(symbol.max, in_.integer());
    graph_.symbols.push_back(std::move(symbol));
    return {};
  }

  Status guard() {
    static constexpr std::string_view kSigns[] = {"==", "!=", "<", "<=", ">", ">="};
    Guard guard;
    HR_ASSIGN(guard.left, in_.dim_until("=!<>"));
    // "<" is also the beginning of "<=": try the longer signs first.
    for (int i : {0, 1, 3, 5, 2, 4}) {
      if (!in_.take(kSigns[i])) continue;
      guard.relation = static_cast<Guard::Relation>(i);
      HR_ASSIGN(guard.right, in_.dim_until(",)"));
      graph_.guards.push_back(std::move(guard));
      return {};
    }
    return in_.error("expected a comparison");
  }

  Status has_type(const TypedName& named) {
    return named.typed ? Status() : in_.error(fmt::format("'{}' needs a type", named.name));
  }

  Status statement() {
    std::vector<TypedName> results;
    do {
      HR_ASSIGN(TypedName named, result_name());
      results.push_back(std::move(named));
    } while (in_.take(","));
    HR_TRY(in_.expect("="));
    if (results.size() == 1 && results[0].weight) return weight(results[0]);
    if (results.size() == 1 && in_.take_word("literal")) return literal(results[0]);
    if (results.size() == 1 && in_.take_word("state")) {
      HR_TRY(has_type(results[0]));
      return defined_once(graph_.add_state(results[0].name, results[0].type), results[0].name);
    }
    return node(results);
  }

  // A name that was taken got a suffix; in text that is an error.
  Status defined_once(const Value* value, const std::string& name) {
    return value->name() == name ? Status() : in_.error(fmt::format("'{}' is defined twice", name));
  }

  Status weight(TypedName& named) {
    HR_TRY(has_type(named));
    WeightSource source;
    if (!in_.take_word("weight")) return in_.error("expected weight(…)");
    HR_TRY(in_.expect("("));
    HR_ASSIGN(source.storage, in_.quoted());
    HR_TRY(in_.expect(","));
    HR_TRY(in_.expect("offset"));
    HR_ASSIGN(source.offset, in_.integer());
    HR_TRY(in_.expect(","));
    HR_TRY(in_.expect("strides"));
    HR_TRY(in_.expect("["));
    HR_TRY(list("]", [&]() -> Status {
      HR_ASSIGN(const int64_t stride, in_.integer());
      source.strides.push_back(stride);
      return {};
    }));
    HR_TRY(in_.expect(")"));
    return defined_once(graph_.add_weight(named.name, std::move(named.type), std::move(source)), named.name);
  }

  Status literal(TypedName& named) {
    HR_TRY(has_type(named));
    HR_TRY(in_.expect("("));
    std::vector<std::byte> bytes;
    if (in_.take_word("hex")) {
      HR_TRY(in_.expect("("));
      HR_ASSIGN(const std::string text, in_.quoted());
      HR_TRY(in_.expect(")"));
      HR_TRY(in_.expect(")"));
      HR_ASSIGN(bytes, in_.hex_bytes(text));
    } else {
      HR_TRY(list(")", [&] { return in_.element(named.type.dtype, bytes); }));
    }
    return defined_once(graph_.add_literal(named.name, std::move(named.type), std::move(bytes)), named.name);
  }

  Result<Value*> operand() {
    if (in_.take_word("_")) return static_cast<Value*>(nullptr);
    HR_ASSIGN(const std::string text, in_.reference());
    Value* value = graph_.find(std::string_view(text).substr(1));
    if (value == nullptr) return in_.error(fmt::format("'{}' is not defined", text));
    return value;
  }

  Status node(const std::vector<TypedName>& results) {
    const std::string_view op_name = in_.word();
    const Op op = find_op(op_name);
    if (op == nullptr) return in_.error(fmt::format("there is no op '{}'", op_name));
    std::vector<Value*> inputs;
    HR_TRY(in_.expect("("));
    HR_TRY(list(")", [&]() -> Status {
      HR_ASSIGN(Value* const value, operand());
      inputs.push_back(value);
      return {};
    }));
    AttributeMap attributes;
    if (in_.take("{")) {
      HR_TRY(list("}", [&]() -> Status {
        const std::string name(in_.word());
        HR_TRY(in_.expect("="));
        HR_ASSIGN(Attribute value, in_.attribute());
        attributes.set(name, std::move(value));
        return {};
      }));
    }
    std::string name = results[0].name;
    if (in_.peek("\"")) {
      HR_ASSIGN(name, in_.quoted());
    }
    HR_ASSIGN(Node* const added, graph_.add(op, std::move(inputs), std::move(attributes), std::move(name)));
    return name_results(*added, results);
  }

  Status name_results(const Node& node, const std::vector<TypedName>& results) {
    if (results.size() != node.outputs().size()) {
      return in_.error(
          fmt::format("{} gives {} results, not {}", node.op()->name, node.outputs().size(), results.size()));
    }
    for (size_t i = 0; i < results.size(); ++i) {
      if (results[i].typed && !(results[i].type == node.output(i)->type())) {
        return in_.error(fmt::format("'{}' is {}, not {}", results[i].name, to_text(node.output(i)->type()),
                                     to_text(results[i].type)));
      }
      graph_.rename(node.output(i), results[i].name);
      HR_TRY(defined_once(node.output(i), results[i].name));
    }
    return {};
  }

  Status outputs() {
    do {
      std::optional<Dim> number;
      Value* value = nullptr;
      if (in_.take_word("dim")) {
        HR_TRY(in_.expect("("));
        HR_ASSIGN(number, in_.dim_until(")"));
        HR_TRY(in_.expect(")"));
      } else if (!in_.take_word("none")) {
        HR_ASSIGN(value, operand());
        if (value == nullptr) return in_.error("an output is absent; write none");
      }
      HR_TRY(in_.expect("as"));
      HR_ASSIGN(std::string name, in_.quoted());
      if (number) {
        graph_.add_number_output(*number, std::move(name));
      } else if (value != nullptr) {
        graph_.add_output(value, std::move(name));
      } else {
        graph_.add_none_output(std::move(name));
      }
    } while (in_.take(","));
    return {};
  }

  Scanner in_;
  Graph graph_;
};

}  // namespace

Result<Graph> parse(std::string_view text) { return Parser(text).run(); }

}  // namespace headrace::ir
