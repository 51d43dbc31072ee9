// The text of a plan, for people.
#include <fmt/format.h>

#include "core/units.h"
#include "engine/plan.h"

namespace headrace {
namespace {

std::string_view name_of(BufferKind kind) {
  constexpr std::string_view kNames[] = {"input", "output", "arena", "weight", "literal", "state"};
  return static_cast<size_t>(kind) < std::size(kNames) ? kNames[static_cast<size_t>(kind)] : "?";
}
std::string_view name_of(Relation relation) {
  constexpr std::string_view kNames[] = {"==", "!=", "<", "<=", ">", ">="};
  return static_cast<size_t>(relation) < std::size(kNames) ? kNames[static_cast<size_t>(relation)] : "?";
}
std::string_view name_of(RecipeOp op) {
  constexpr std::string_view kNames[] = {"source", "cast", "strided", "concat", "eval", "pack"};
  return static_cast<size_t>(op) < std::size(kNames) ? kNames[static_cast<size_t>(op)] : "?";
}

class PlanPrinter {
 public:
  explicit PlanPrinter(const Plan& plan) : plan_(plan) {}

  std::string run() {
    line("plan for {} ({})", plan_.backend, plan_.fingerprint);
    for (const Symbol& symbol : plan_.symbols)
      line("symbol {}: {} .. {}, best at {}", symbol.name, symbol.min, symbol.max, symbol.opt);
    for (const ShapeGuard& guard : plan_.guards)
      line("guard {} {} {}", guard.left.text(), name_of(guard.relation), guard.right.text());
    for (const InputSpec& input : plan_.inputs) line("input {}", text(input));
    for (const OutputSpec& output : plan_.outputs) line("output {}", text(output));
    for (const State& state : plan_.states)
      line("state '{}' {}{}", state.name, dtype_name(state.dtype), to_text(state.shape));
    for (size_t i = 0; i < plan_.literals.size(); ++i)
      line("literal {} {}{}", i, dtype_name(plan_.literals[i].dtype), to_text(plan_.literals[i].shape));
    if (!plan_.code.empty()) line("code: {} bytes", plan_.code.size());
    print_groups();
    for (size_t i = 0; i < plan_.weights.size(); ++i) print_weight(i);
    for (size_t i = 0; i < plan_.buffers.size(); ++i) print_buffer(i);
    for (size_t i = 0; i < plan_.steps.size(); ++i) print_step(i);
    return std::move(text_);
  }

 private:
  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }

  static std::string text(const InputSpec& input) {
    switch (input.kind) {
      case InputKind::kTensor:
        return fmt::format("'{}' {}{}{}", input.name, dtype_name(input.dtype), to_text(input.shape),
                           input.buffer == kNone ? " (not read)" : fmt::format(" -> b{}", input.buffer));
      case InputKind::kNumber: return fmt::format("'{}' number -> {}", input.name, input.symbol);
      case InputKind::kConstant: return fmt::format("'{}' constant {}", input.name, input.constant);
    }
    return "?";
  }

  std::string text(const OutputSpec& output) const {
    switch (output.kind) {
      case OutputKind::kTensor: return fmt::format("'{}' {}", output.name, tensor(output.tensor));
      case OutputKind::kNumber: return fmt::format("'{}' number {}", output.name, output.number.text());
      case OutputKind::kNoneValue: return fmt::format("'{}' none", output.name);
    }
    return "?";
  }

  void print_groups() {
    for (size_t i = 0; i < plan_.groups.size(); ++i) {
      const WeightGroup& group = plan_.groups[i];
      line("group {} at {}: {}{}", i, group.offset.count, to_text(group.size),
           group.streamable ? "" : ", always resident");
    }
  }

  void print_weight(size_t index) {
    const Weight& weight = plan_.weights[index];
    std::string recipe;
    for (size_t i = 0; i < weight.recipe.size(); ++i) {
      const RecipeStep& step = weight.recipe[i];
      fmt::format_to(std::back_inserter(recipe), "; %{} = {}", i, name_of(step.op));
      if (step.op == RecipeOp::kSource && static_cast<size_t>(step.source) < plan_.sources.size())
        recipe += fmt::format(" '{}'", plan_.sources[static_cast<size_t>(step.source)].name);
      for (const int input : step.inputs) recipe += input == kNone ? " -" : fmt::format(" %{}", input);
      recipe += text(step.attributes) + fmt::format(" {}{}", dtype_name(step.dtype), to_text(step.shape));
    }
    line("weight {} '{}' {}{} {}{}{}{}", index, weight.name, dtype_name(weight.dtype), to_text(weight.shape),
         to_text(weight.stored), weight.use == WeightUse::kRows ? ", by rows" : "",
         weight.group == kNone ? "" : fmt::format(", group {} + {}", weight.group, weight.offset.count),
         recipe);
  }

  void print_buffer(size_t index) {
    const Buffer& buffer = plan_.buffers[index];
    std::string more;
    if (buffer.index != kNone) more = fmt::format(" {}", buffer.index);
    if (buffer.kind == BufferKind::kArena)
      more = fmt::format(", steps {} .. {}", buffer.first_step, buffer.last_step);
    line("b{} {}{}, {} bytes", index, name_of(buffer.kind), more, buffer.size.text());
  }

  void print_step(size_t index) {
    const Step& step = plan_.steps[index];
    std::string outputs, inputs;
    for (const TensorIndex output : step.outputs) outputs += (outputs.empty() ? "" : ", ") + tensor(output);
    for (const TensorIndex input : step.inputs) inputs += (inputs.empty() ? "" : ", ") + tensor(input);
    line("{} {} = {}({}){}{}", index, outputs, step.kernel, inputs, text(step.attributes),
         step.label.empty() ? "" : fmt::format("  # {}", step.label));
  }

  // "t3 f32[1, n] b2", with offset and strides where they are not the plain ones.
  std::string tensor(TensorIndex index) const {
    if (index == kNone) return "-";
    const PlanTensor& tensor = plan_.tensors[static_cast<size_t>(index)];
    std::string text =
        fmt::format("t{} {}{} b{}", index, dtype_name(tensor.dtype), to_text(tensor.shape), tensor.buffer);
    if (!(tensor.offset == Dim(0))) text += fmt::format(" + {}", tensor.offset.text());
    if (tensor.strides != row_major_strides(std::span<const Dim>(tensor.shape)))
      text += fmt::format(" strides {}", to_text(tensor.strides));
    return text;
  }

  static std::string text(const AttributeMap& attributes) {
    if (attributes.empty()) return "";
    std::string text;
    for (const auto& [name, value] : attributes.entries()) {
      std::string shown = attribute_text(value);
      constexpr size_t kLongest = 200;  // a literal in a recipe may be 64 KiB
      if (shown.size() > kLongest) shown = shown.substr(0, kLongest) + "…";
      text += (text.empty() ? "" : ", ") + name + "=" + shown;
    }
    return " {" + text + "}";
  }

  const Plan& plan_;
  std::string text_;
};

}  // namespace

std::string to_text(const Plan& plan) { return PlanPrinter(plan).run(); }

}  // namespace headrace
