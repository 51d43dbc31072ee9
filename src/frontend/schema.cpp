#include "frontend/schema.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"

namespace headrace::frontend {
namespace {

using Type = SchemaArgument::Type;

struct TypeName {
  std::string_view text;
  Type type, list;
};
constexpr TypeName kTypeNames[] = {
    {"Tensor", Type::kTensor, Type::kTensors}, {"Scalar", Type::kScalar, Type::kOther},
    {"SymInt", Type::kInt, Type::kInts},       {"int", Type::kInt, Type::kInts},
    {"float", Type::kFloat, Type::kFloats},    {"bool", Type::kBool, Type::kBools},
    {"str", Type::kText, Type::kOther},        {"ScalarType", Type::kDType, Type::kOther},
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Splits at the commas outside brackets and quotes.
std::vector<std::string_view> split_arguments(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t start = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (quoted) continue;
    if (text[i] == '(' || text[i] == '[') ++depth;
    if (text[i] == ')' || text[i] == ']') --depth;
    if (text[i] != ',' || depth != 0) continue;
    parts.push_back(trimmed(text.substr(start, i - start)));
    start = i + 1;
  }
  if (!trimmed(text).empty()) parts.push_back(trimmed(text.substr(start)));
  return parts;
}

std::optional<int64_t> parse_int(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "1", "0.5", "True", "None", "[1, 1]", "\"none\"".
CallArgument parse_default(std::string_view text, Type type) {
  if (text == "None") return std::monostate();
  if (text == "True" || text == "False") return text == "True";
  if (text.front() == '"') return std::string(text.substr(1, text.size() - 2));
  if (text.front() == '[') {
    std::vector<Dim> items;
    for (const std::string_view item : split_arguments(text.substr(1, text.size() - 2))) {
      items.emplace_back(parse_int(item).value_or(0));
    }
    return items;
  }
  const std::optional<int64_t> integer = parse_int(text);
  if (integer && type == Type::kFloat) return static_cast<double>(*integer);
  if (integer) return Dim(*integer);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  return std::string(text);
}

// Takes "(a!)", "(a)", "(a -> *)" out of a type, and says what it was.
std::string_view take_alias(std::string& type, std::string_view from) {
  const size_t open = from.find('(');
  if (open == std::string_view::npos) {
    type = from;
    return {};
  }
  const size_t close = from.find(')', open);
  type = std::string(from.substr(0, open)) + std::string(from.substr(close + 1));
  return from.substr(open + 1, close - open - 1);
}

Result<SchemaArgument> parse_argument(std::string_view text) {
  SchemaArgument argument;
  const size_t equals = text.find('=');
  const std::string_view declared = trimmed(text.substr(0, equals));
  const size_t space = declared.rfind(' ');
  if (space == std::string_view::npos) return internal_error("argument '{}' has no type", text);
  argument.name = declared.substr(space + 1);
  std::string type;
  const std::string_view alias = take_alias(type, declared.substr(0, space));
  argument.written = alias.find('!') != std::string_view::npos;
  argument.aliased = !alias.empty();
  if (type.ends_with('?')) {
    argument.optional = true;
    type.pop_back();
  }
  const size_t bracket = type.find('[');
  std::string base = type.substr(0, bracket);
  if (base.ends_with('?')) base.pop_back();
  for (const TypeName& known : kTypeNames) {
    if (known.text == base) argument.type = bracket == std::string::npos ? known.type : known.list;
  }
  if (bracket != std::string::npos) {
    argument.length = static_cast<int>(
        parse_int(std::string_view(type).substr(bracket + 1, type.size() - bracket - 2)).value_or(0));
  }
  if (equals != std::string_view::npos)
    argument.fallback = parse_default(trimmed(text.substr(equals + 1)), argument.type);
  return argument;
}

std::string_view type_text(Type type) {
  switch (type) {
    case Type::kTensor: return "a tensor";
    case Type::kTensors: return "a list of tensors";
    case Type::kScalar: return "a number";
    case Type::kInt: return "an int";
    case Type::kInts: return "a list of ints";
    case Type::kFloat: return "a float";
    case Type::kFloats: return "a list of floats";
    case Type::kBool: return "a bool";
    case Type::kBools: return "a list of bools";
    case Type::kText: return "a text";
    case Type::kDType: return "a dtype";
    case Type::kOther: break;
  }
  return "another value";
}

// An empty list may carry any list's tag.
bool is_empty_list(const CallArgument& value) {
  return std::visit(
      [](const auto& v) {
        if constexpr (requires {
                        v.begin();
                        v.empty();
                      })
          return v.empty();
        return false;
      },
      value);
}

std::optional<double> constant_number(const CallArgument& value) {
  if (const auto* number = std::get_if<double>(&value)) return *number;
  const auto* dim = std::get_if<Dim>(&value);
  if (dim && dim->is_constant()) return static_cast<double>(dim->constant());
  return std::nullopt;
}

std::optional<CallArgument> as_ints(CallArgument value, int length) {
  if (is_empty_list(value)) return std::vector<Dim>();
  if (const auto* one = std::get_if<Dim>(&value)) {
    return std::vector<Dim>(static_cast<size_t>(std::max(length, 1)), *one);
  }
  auto* list = std::get_if<std::vector<Dim>>(&value);
  if (!list) return std::nullopt;
  if (list->size() == 1 && length > 1) list->resize(static_cast<size_t>(length), list->front());
  return value;
}

std::optional<CallArgument> as_floats(const CallArgument& value) {
  if (std::holds_alternative<std::vector<double>>(value)) return value;
  std::vector<double> numbers;
  const auto* list = std::get_if<std::vector<Dim>>(&value);
  if (!list && !is_empty_list(value)) return std::nullopt;
  for (const Dim& dim : list ? *list : std::vector<Dim>()) {
    if (!dim.is_constant()) return std::nullopt;
    numbers.push_back(static_cast<double>(dim.constant()));
  }
  return numbers;
}

// The value as the type says; nullopt where it is no such thing.
std::optional<CallArgument> coerce(CallArgument value, const SchemaArgument& wanted) {
  if (std::holds_alternative<std::monostate>(value)) {
    return wanted.optional || wanted.type == Type::kOther ? std::optional(value) : std::nullopt;
  }
  const bool is_bool = std::holds_alternative<bool>(value);
  const bool is_number =
      is_bool || std::holds_alternative<Dim>(value) || std::holds_alternative<double>(value);
  const auto keep_if = [&](bool fits) { return fits ? std::optional(value) : std::nullopt; };
  switch (wanted.type) {
    case Type::kTensor: return keep_if(is_number || std::holds_alternative<ir::Value*>(value));
    case Type::kTensors:
      if (is_empty_list(value)) return std::vector<ir::Value*>();
      return keep_if(std::holds_alternative<std::vector<ir::Value*>>(value));
    case Type::kScalar: return keep_if(is_number);
    case Type::kInt:
      if (is_bool) return Dim(std::get<bool>(value) ? 1 : 0);
      return keep_if(std::holds_alternative<Dim>(value));
    case Type::kInts: return as_ints(std::move(value), wanted.length);
    case Type::kFloat: {
      const auto number = constant_number(value);
      return number ? std::optional<CallArgument>(*number) : std::nullopt;
    }
    case Type::kFloats: return as_floats(value);
    case Type::kBool:
      if (const auto number = constant_number(value)) return *number != 0;
      return keep_if(is_bool);
    case Type::kBools:
      if (is_empty_list(value)) return std::vector<bool>();
      return keep_if(std::holds_alternative<std::vector<bool>>(value));
    case Type::kText: return keep_if(std::holds_alternative<std::string>(value));
    case Type::kDType: return keep_if(std::holds_alternative<DType>(value));
    case Type::kOther: return value;
  }
  return std::nullopt;
}

}  // namespace

const SchemaArgument* Schema::find(std::string_view name) const {
  const auto found =
      std::find_if(arguments.begin(), arguments.end(), [&](const auto& a) { return a.name == name; });
  return found == arguments.end() ? nullptr : &*found;
}

Result<Schema> parse_schema(std::string_view text) {
  const size_t open = text.find('('), arrow = text.rfind(" -> ");
  const size_t close = text.rfind(')', arrow);
  if (open == std::string_view::npos || arrow == std::string_view::npos || close < open) {
    return internal_error("'{}' is no schema: it has no arguments or no result", text);
  }
  Schema schema;
  const std::string_view name = text.substr(0, open);
  schema.target = fmt::format("aten.{}{}", name, name.find('.') == std::string_view::npos ? ".default" : "");
  for (const std::string_view part : split_arguments(text.substr(open + 1, close - open - 1))) {
    if (part == "*") continue;
    HR_ASSIGN(SchemaArgument argument, parse_argument(part));
    schema.arguments.push_back(std::move(argument));
  }
  schema.returns_view = text.substr(arrow).find("(a)") != std::string_view::npos;
  return schema;
}

Result<std::vector<CallArgument>> bind_arguments(const Schema& schema, const Call& call) {
  for (const auto& [name, value] : call.arguments) {
    if (!schema.find(name)) return unsupported("its argument '{}' is not known", name);
  }
  std::vector<CallArgument> bound;
  for (const SchemaArgument& argument : schema.arguments) {
    const auto given = std::find_if(call.arguments.begin(), call.arguments.end(),
                                    [&](const auto& entry) { return entry.first == argument.name; });
    const bool is_given = given != call.arguments.end();
    if (!is_given && !argument.fallback) return unsupported("its argument '{}' is missing", argument.name);
    std::optional<CallArgument> value = coerce(is_given ? given->second : *argument.fallback, argument);
    // A default need not have the form of its type: "ScalarType dtype=4", "MemoryFormat format=0".
    if (!value && !is_given) value = std::monostate();
    if (!value) return unsupported("its argument '{}' should be {}", argument.name, type_text(argument.type));
    bound.push_back(std::move(*value));
  }
  return bound;
}

}  // namespace headrace::frontend
