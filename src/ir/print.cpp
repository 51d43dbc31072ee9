// The text form; docs/ir.md has its grammar.
#include <cstring>

#include "core/error.h"
#include "core/half.h"
#include "ir/graph.h"

namespace headrace::ir {
namespace {

constexpr size_t kListedElements = 64;  // a larger literal is printed as hex

std::string quoted(const std::string& text) { return attribute_text(Attribute(text)); }
std::string reference(const Value* value) {
  if (value == nullptr) return "_";
  return (value->kind() == ValueKind::kWeight ? "@" : "%") + value->name();
}
std::string typed(const Value& value) {
  return fmt::format("{}: {}", reference(&value), to_text(value.type()));
}

std::string hex(std::span<const std::byte> bytes) {
  std::string text = "hex(\"";
  for (std::byte byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text + "\")";
}

template <class T>
std::string elements(std::span<const std::byte> bytes) {
  std::string text;
  for (size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    if (at > 0) text += ", ";
    if constexpr (sizeof(T) == 1) {
      text += std::to_string(static_cast<int>(value));
    } else {
      text += fmt::format("{}", value);
    }
  }
  return text;
}

// f16 and bf16 go as the shortest float that rounds back to them, which their exact value does.
std::string half_elements(std::span<const std::byte> bytes, float (*widen)(uint16_t)) {
  std::vector<float> values;
  for (size_t at = 0; at + 2 <= bytes.size(); at += 2) {
    uint16_t bits;
    std::memcpy(&bits, bytes.data() + at, 2);
    values.push_back(widen(bits));
  }
  return elements<float>(std::as_bytes(std::span(values)));
}

// NaN has many bit patterns, and text has one: such literals go as hex.
bool has_nan(const Value& literal) {
  const auto numbers = literal_numbers(literal);
  for (double number : *numbers) {
    if (number != number) return true;
  }
  return false;
}

std::string literal_text(const Value& value) {
  const std::span<const std::byte> bytes = value.literal();
  const size_t count = bytes.size() / static_cast<size_t>(dtype_size(value.dtype()));
  if (count > kListedElements || has_nan(value)) return "literal(" + hex(bytes) + ")";
  const auto list = [&]() -> std::string {
    switch (value.dtype()) {
      case DType::kBool:
      case DType::kU8: return elements<uint8_t>(bytes);
      case DType::kI8: return elements<int8_t>(bytes);
      case DType::kI16: return elements<int16_t>(bytes);
      case DType::kI32: return elements<int32_t>(bytes);
      case DType::kI64: return elements<int64_t>(bytes);
      case DType::kF16: return half_elements(bytes, f16_to_float);
      case DType::kBF16: return half_elements(bytes, bf16_to_float);
      case DType::kF32: return elements<float>(bytes);
      case DType::kF64: return elements<double>(bytes);
    }
    return "";
  };
  return "literal(" + list() + ")";
}

template <class Range, class ToText>
std::string joined(const Range& range, ToText&& to_text) {
  std::string text;
  for (const auto& item : range) text += (text.empty() ? "" : ", ") + to_text(item);
  return text;
}

std::string input_text(const GraphInput& input) {
  switch (input.kind) {
    case GraphInput::Kind::kTensor: return typed(*input.value);
    case GraphInput::Kind::kNumber: return fmt::format("{}: dim({})", quoted(input.name), input.symbol);
    case GraphInput::Kind::kConstant:
      return fmt::format("{}: const({})", quoted(input.name), quoted(input.constant));
  }
  return "";
}

std::string guard_text(const Guard& guard) {
  static constexpr std::string_view kSigns[] = {"==", "!=", "<", "<=", ">", ">="};
  return fmt::format("{} {} {}", guard.left.text(), kSigns[static_cast<int>(guard.relation)],
                     guard.right.text());
}

std::string header(const Graph& graph) {
  std::string text = "graph(" + joined(graph.inputs(), input_text) + ")";
  if (!graph.symbols.empty()) {
    text += " symbols(" +
            joined(graph.symbols,
                   [](const Symbol& s) {
                     return fmt::format("{}: {} <= {} <= {}", s.name, s.min, s.opt, s.max);
                   }) +
            ")";
  }
  if (!graph.guards.empty()) text += " guards(" + joined(graph.guards, guard_text) + ")";
  if (!graph.in_spec.empty()) text += " in_spec(" + quoted(graph.in_spec) + ")";
  if (!graph.out_spec.empty()) text += " out_spec(" + quoted(graph.out_spec) + ")";
  return text;
}

std::string node_text(const Node& node) {
  std::string text = joined(node.outputs(), [](const Value* value) { return typed(*value); });
  text += fmt::format(" = {}({})", node.op()->name, joined(node.inputs(), reference));
  if (!node.attributes().empty()) {
    text += " {" +
            joined(node.attributes().entries(),
                   [](const AttributeMap::Entry& entry) {
                     return fmt::format("{} = {}", entry.first, attribute_text(entry.second));
                   }) +
            "}";
  }
  const bool implied = node.outputs().size() == 1 && node.output()->name() == node.name();
  if (!implied) text += " " + quoted(node.name());
  return text;
}

std::string output_text(const GraphOutput& output) {
  if (output.value != nullptr) return fmt::format("{} as {}", reference(output.value), quoted(output.name));
  if (output.number) return fmt::format("dim({}) as {}", output.number->text(), quoted(output.name));
  return fmt::format("none as {}", quoted(output.name));
}

}  // namespace

std::string print(const Graph& graph) {
  std::string text = header(graph) + " {\n";
  for (const Value* weight : graph.weights()) {
    text += fmt::format("  {} = weight({}, offset {}, strides {})\n", typed(*weight),
                        quoted(weight->weight().storage), weight->weight().offset,
                        headrace::to_text(weight->weight().strides));
  }
  for (const Value* literal : graph.literals()) {
    text += fmt::format("  {} = {}\n", typed(*literal), literal_text(*literal));
  }
  for (const Value* state : graph.states()) text += fmt::format("  {} = state\n", typed(*state));
  for (const auto& node : graph.nodes()) text += "  " + node_text(*node) + "\n";
  return text + "  return " + joined(graph.outputs(), output_text) + "\n}\n";
}

}  // namespace headrace::ir
