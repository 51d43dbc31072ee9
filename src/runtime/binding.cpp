#include "runtime/binding.h"

#include <algorithm>
#include <map>
#include <optional>

#include "core/error.h"

namespace headrace::runtime {
namespace {

struct Seen {  // where a size was found, for messages
  std::string input;
  const Sizes* shape;
  int64_t axis;  // kNone: a number input

  std::string text() const {
    return axis == kNone ? fmt::format("input '{}'", input)
                         : fmt::format("dimension {} of input '{}' {}", axis, input, to_text(*shape));
  }
};

struct Equation {  // what a size must be, and is
  const Dim* dim;
  int64_t value;
  Seen seen;
};

class Binder {
 public:
  Binder(const Plan& plan, std::span<const Tensor> inputs) : plan_(plan), inputs_(inputs) {}

  Result<DimBindings> run() {
    HR_TRY(collect());
    while (bind_more()) {
    }
    HR_TRY(check_all_bound());
    for (const Symbol& symbol : plan_.symbols)
      bound_.try_emplace(symbol.name, symbol.min);  // min == max here
    HR_TRY(check_ranges());
    HR_TRY(check_sizes());
    HR_TRY(check_guards(plan_, bound_));
    return std::move(bound_);
  }

 private:
  Status collect();
  Status collect_tensor(const InputSpec& spec, const Tensor& tensor);
  Status collect_number(const InputSpec& spec, const Tensor& tensor);
  bool bind_more();
  std::optional<int64_t> solve(const Equation& equation, const std::string& symbol) const;
  void set(const std::string& symbol, int64_t value, const Seen& seen);
  Status check_all_bound() const;
  Status check_ranges() const;
  Status check_sizes() const;

  const Plan& plan_;
  std::span<const Tensor> inputs_;
  std::vector<Equation> equations_;
  DimBindings bound_;
  std::map<std::string, Seen> origin_;
};

Status Binder::collect() {
  if (inputs_.size() != plan_.inputs.size()) {
    std::string names;
    for (const InputSpec& spec : plan_.inputs) names += (names.empty() ? "" : ", ") + spec.name;
    return invalid_argument("the engine takes {} inputs ({}); {} were given", plan_.inputs.size(), names,
                            inputs_.size());
  }
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const InputSpec& spec = plan_.inputs[i];
    if (spec.kind == InputKind::kTensor) HR_TRY(collect_tensor(spec, inputs_[i]));
    if (spec.kind == InputKind::kNumber) HR_TRY(collect_number(spec, inputs_[i]));
  }
  return {};
}

Status Binder::collect_tensor(const InputSpec& spec, const Tensor& tensor) {
  if (tensor.dtype() != spec.dtype) {
    return invalid_argument("input '{}' must be {}, but is {}; convert it before the call", spec.name,
                            dtype_name(spec.dtype), dtype_name(tensor.dtype()));
  }
  if (tensor.shape().size() != spec.shape.size()) {
    return invalid_argument("input '{}' must have {} dimensions {}, but has {}: {}", spec.name,
                            spec.shape.size(), to_text(spec.shape), tensor.shape().size(),
                            to_text(tensor.shape()));
  }
  for (size_t axis = 0; axis < spec.shape.size(); ++axis) {
    const int64_t size = tensor.shape()[axis];
    if (size < 0) {
      return invalid_argument("input '{}' {}: a size is negative", spec.name, to_text(tensor.shape()));
    }
    equations_.push_back({&spec.shape[axis], size, {spec.name, &tensor.shape(), static_cast<int64_t>(axis)}});
  }
  if (tensor.data() == nullptr && element_count(tensor.shape()) != 0) {
    return invalid_argument("input '{}' has no data: an empty Tensor was given", spec.name);
  }
  return {};
}

Status Binder::collect_number(const InputSpec& spec, const Tensor& tensor) {
  if (tensor.dtype() != DType::kI64 || !tensor.shape().empty() || tensor.data() == nullptr) {
    return invalid_argument(
        "input '{}' is a whole number: give a tensor of dtype i64 and shape [], not {} {}", spec.name,
        dtype_name(tensor.dtype()), to_text(tensor.shape()));
  }
  const int64_t value = *tensor.as<int64_t>();
  if (const auto found = bound_.find(spec.symbol); found != bound_.end() && found->second != value) {
    return invalid_argument("input '{}' is {}, but {} gave {} = {}", spec.name, value,
                            origin_.at(spec.symbol).text(), spec.symbol, found->second);
  }
  set(spec.symbol, value, {spec.name, nullptr, kNone});
  return {};
}

void Binder::set(const std::string& symbol, int64_t value, const Seen& seen) {
  bound_[symbol] = value;
  origin_.emplace(symbol, seen);
}

// Symbols that stand alone come first, so that messages speak of the plainest place.
bool Binder::bind_more() {
  for (const Equation& equation : equations_) {
    if (equation.dim->kind() != Dim::Kind::kSymbol || bound_.contains(equation.dim->name())) continue;
    set(equation.dim->name(), equation.value, equation.seen);
    return true;
  }
  for (const Equation& equation : equations_) {
    std::vector<std::string> symbols;
    equation.dim->collect_symbols(symbols);
    std::erase_if(symbols, [this](const std::string& name) { return bound_.contains(name); });
    std::sort(symbols.begin(), symbols.end());
    symbols.erase(std::unique(symbols.begin(), symbols.end()), symbols.end());
    if (symbols.size() != 1) continue;
    if (const auto value = solve(equation, symbols[0])) {
      set(symbols[0], *value, equation.seen);
      return true;
    }
  }
  return false;
}

// Two points give the line, a third says whether it is one; check_sizes has the last word.
std::optional<int64_t> Binder::solve(const Equation& equation, const std::string& symbol) const {
  DimBindings trial = bound_;
  int64_t at[3];
  for (int64_t x = 0; x < 3; ++x) {
    trial[symbol] = x + 1;
    const auto value = equation.dim->evaluate(trial);
    if (!value.ok()) return std::nullopt;
    at[x] = *value;
  }
  const int64_t slope = at[1] - at[0];
  if (slope == 0 || at[2] - at[1] != slope) return std::nullopt;
  int64_t rest;
  if (__builtin_sub_overflow(equation.value, at[0], &rest)) return std::nullopt;
  if (rest % slope != 0) return std::nullopt;
  return 1 + rest / slope;
}

Status Binder::check_all_bound() const {
  for (const Equation& equation : equations_) {  // the better message: this size cannot be right
    std::vector<std::string> symbols;
    equation.dim->collect_symbols(symbols);
    const bool open = std::any_of(symbols.begin(), symbols.end(),
                                  [this](const std::string& name) { return !bound_.contains(name); });
    if (open) {
      return invalid_argument("{} is {}, but must be {} for a whole number {}", equation.seen.text(),
                              equation.value, equation.dim->text(), symbols[0]);
    }
  }
  for (const Symbol& symbol : plan_.symbols) {
    if (bound_.contains(symbol.name)) continue;
    if (symbol.min != symbol.max) {
      return invalid_argument("size {} ({} to {}) does not follow from the inputs' shapes", symbol.name,
                              symbol.min, symbol.max);
    }
  }
  return {};
}

Status Binder::check_ranges() const {
  for (const Symbol& symbol : plan_.symbols) {
    const auto found = bound_.find(symbol.name);
    if (found == bound_.end() || (found->second >= symbol.min && found->second <= symbol.max)) continue;
    const auto origin = origin_.find(symbol.name);
    return invalid_argument("{}: {} is {}, outside the profile {} to {} that the engine was compiled for",
                            origin == origin_.end() ? "this call" : origin->second.text(), symbol.name,
                            found->second, symbol.min, symbol.max);
  }
  return {};
}

Status Binder::check_sizes() const {
  for (const Equation& equation : equations_) {
    HR_ASSIGN(const int64_t expected, equation.dim->evaluate(bound_));
    if (expected == equation.value) continue;
    if (equation.dim->is_constant()) {
      return invalid_argument("{} must be {}, but is {}", equation.seen.text(), expected, equation.value);
    }
    std::string why;
    std::vector<std::string> symbols;
    equation.dim->collect_symbols(symbols);
    for (const std::string& symbol : symbols) {
      const auto origin = origin_.find(symbol);
      if (origin == origin_.end()) continue;
      why += fmt::format("{}{} = {} by {}", why.empty() ? "" : ", ", symbol, bound_.find(symbol)->second,
                         origin->second.text());
    }
    return invalid_argument("{} must be {}{}, but is {} ({})", equation.seen.text(),
                            equation.dim->kind() == Dim::Kind::kSymbol ? "" : equation.dim->text() + " = ",
                            expected, equation.value, why);
  }
  return {};
}

std::string_view sign(Relation relation) {
  constexpr std::string_view kSigns[] = {"==", "!=", "<", "<=", ">", ">="};
  return kSigns[static_cast<size_t>(relation) % 6];
}

bool holds(Relation relation, int64_t left, int64_t right) {
  switch (relation) {
    case Relation::kEq: return left == right;
    case Relation::kNe: return left != right;
    case Relation::kLt: return left < right;
    case Relation::kLe: return left <= right;
    case Relation::kGt: return left > right;
    case Relation::kGe: return left >= right;
  }
  return false;
}

}  // namespace

Result<DimBindings> bind_symbols(const Plan& plan, std::span<const Tensor> inputs) {
  return Binder(plan, inputs).run();
}

Status check_profile(const Plan& plan, const DimBindings& dims) {
  for (const Symbol& symbol : plan.symbols) {
    const auto found = dims.find(symbol.name);
    if (found == dims.end()) return invalid_argument("size {} has no value", symbol.name);
    if (found->second < symbol.min || found->second > symbol.max) {
      return invalid_argument("{} is {}, outside the profile {} to {} that the engine was compiled for",
                              symbol.name, found->second, symbol.min, symbol.max);
    }
  }
  return {};
}

Status check_guards(const Plan& plan, const DimBindings& dims) {
  for (const ShapeGuard& guard : plan.guards) {
    HR_ASSIGN(const int64_t left, guard.left.evaluate(dims));
    HR_ASSIGN(const int64_t right, guard.right.evaluate(dims));
    if (holds(guard.relation, left, right)) continue;
    return invalid_argument("the model requires {} {} {}, but with these inputs that is {} {} {}",
                            guard.left.text(), sign(guard.relation), guard.right.text(), left,
                            sign(guard.relation), right);
  }
  return {};
}

}  // namespace headrace::runtime
