#include "core/pointwise.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/text_cursor.h"

namespace headrace {
namespace {

using enum Pointwise;
constexpr bool kToBool = true;
constexpr bool kSame = false;

constexpr std::array<PointwiseInfo, kPointwiseCount> kTable = {{
    {kCast, "cast", 1, kSame,
     "The value in another dtype; float to integer truncates, to bool compares with 0."},
    {kNeg, "neg", 1, kSame, "-x"},
    {kAbs, "abs", 1, kSame, "|x|"},
    {kSign, "sign", 1, kSame, "-1, 0 or 1; 0 for NaN"},
    {kExp, "exp", 1, kSame, "e to the x"},
    {kExpm1, "expm1", 1, kSame, "e to the x, less 1"},
    {kLog, "log", 1, kSame, "Natural logarithm"},
    {kLog1p, "log1p", 1, kSame, "Natural logarithm of 1 + x"},
    {kSqrt, "sqrt", 1, kSame, "Square root"},
    {kRsqrt, "rsqrt", 1, kSame, "1 / sqrt(x)"},
    {kReciprocal, "reciprocal", 1, kSame, "1 / x"},
    {kSin, "sin", 1, kSame, "Sine, x in radians"},
    {kCos, "cos", 1, kSame, "Cosine, x in radians"},
    {kTan, "tan", 1, kSame, "Tangent, x in radians"},
    {kTanh, "tanh", 1, kSame, "Hyperbolic tangent"},
    {kErf, "erf", 1, kSame, "Error function"},
    {kSigmoid, "sigmoid", 1, kSame, "1 / (1 + exp(-x))"},
    {kFloor, "floor", 1, kSame, "Largest integer not above x"},
    {kCeil, "ceil", 1, kSame, "Smallest integer not below x"},
    {kRound, "round", 1, kSame, "Nearest integer, halves to even"},
    {kTrunc, "trunc", 1, kSame, "Towards zero"},
    {kRelu, "relu", 1, kSame, "max(x, 0); NaN stays NaN"},
    {kGelu, "gelu", 1, kSame, "x * Phi(x), Phi by erf"},
    {kGeluTanh, "gelu_tanh", 1, kSame, "GELU by its tanh approximation"},
    {kSilu, "silu", 1, kSame, "x * sigmoid(x)"},
    {kSoftplus, "softplus", 1, kSame, "log(1 + exp(x)); x itself above 20"},
    {kMish, "mish", 1, kSame, "x * tanh(softplus(x))"},
    {kHardswish, "hardswish", 1, kSame, "x * min(max(x + 3, 0), 6) / 6"},
    {kHardsigmoid, "hardsigmoid", 1, kSame, "min(max(x + 3, 0), 6) / 6"},
    {kIsNan, "is_nan", 1, kToBool, "Whether x is NaN"},
    {kIsInf, "is_inf", 1, kToBool, "Whether x is infinite"},
    {kLogicalNot, "logical_not", 1, kToBool, "Whether x is 0"},
    {kBitwiseNot, "bitwise_not", 1, kSame, "Every bit flipped; of bool: not"},
    {kAdd, "add", 2, kSame, "a + b"},
    {kSub, "sub", 2, kSame, "a - b"},
    {kMul, "mul", 2, kSame, "a * b"},
    {kDiv, "div", 2, kSame, "a / b, of floats"},
    {kFloorDiv, "floor_div", 2, kSame, "a / b, rounded down"},
    {kTruncDiv, "trunc_div", 2, kSame, "a / b, rounded towards zero"},
    {kRemainder, "remainder", 2, kSame, "a modulo b, with the sign of b"},
    {kFmod, "fmod", 2, kSame, "a modulo b, with the sign of a"},
    {kPow, "pow", 2, kSame, "a to the b"},
    {kAtan2, "atan2", 2, kSame, "Angle of the point (b, a)"},
    {kMinimum, "minimum", 2, kSame, "The smaller; NaN wins"},
    {kMaximum, "maximum", 2, kSame, "The larger; NaN wins"},
    {kEq, "eq", 2, kToBool, "a == b"},
    {kNe, "ne", 2, kToBool, "a != b"},
    {kLt, "lt", 2, kToBool, "a < b"},
    {kLe, "le", 2, kToBool, "a <= b"},
    {kGt, "gt", 2, kToBool, "a > b"},
    {kGe, "ge", 2, kToBool, "a >= b"},
    {kLogicalAnd, "logical_and", 2, kToBool, "Whether both are not 0"},
    {kLogicalOr, "logical_or", 2, kToBool, "Whether one is not 0"},
    {kLogicalXor, "logical_xor", 2, kToBool, "Whether just one is not 0"},
    {kBitwiseAnd, "bitwise_and", 2, kSame, "Bits in both"},
    {kBitwiseOr, "bitwise_or", 2, kSame, "Bits in one or both"},
    {kBitwiseXor, "bitwise_xor", 2, kSame, "Bits in just one"},
    {kShiftLeft, "shift_left", 2, kSame, "a shifted left by b bits"},
    {kShiftRight, "shift_right", 2, kSame, "a shifted right by b bits, keeping the sign"},
    {kLeakyRelu, "leaky_relu", 2, kSame, "x where x > 0, else slope * x"},
    {kElu, "elu", 2, kSame, "x where x > 0, else alpha * (exp(x) - 1)"},
    {kWhere, "where", 3, kSame, "a where the condition holds, else b"},
}};

constexpr bool in_enumeration_order() {
  for (int i = 0; i < kPointwiseCount; ++i) {
    if (static_cast<int>(kTable[i].function) != i) return false;
  }
  return true;
}
static_assert(in_enumeration_order());

}  // namespace

const PointwiseInfo& info(Pointwise function) { return kTable[static_cast<size_t>(function)]; }
std::span<const PointwiseInfo> all_pointwise() { return kTable; }

const PointwiseInfo* find_pointwise(std::string_view name) {
  const auto found =
      std::find_if(kTable.begin(), kTable.end(), [&](const auto& row) { return row.name == name; });
  return found == kTable.end() ? nullptr : &*found;
}

DType PointwiseProgram::dtype(int reg) const {
  const auto input_count = static_cast<int>(inputs.size());
  return reg < input_count ? inputs[reg] : instructions[reg - input_count].dtype;
}

std::string PointwiseProgram::text() const {
  std::string text = "(";
  for (size_t i = 0; i < inputs.size(); ++i)
    text += fmt::format("{}{}", i ? ", " : "", dtype_name(inputs[i]));
  text += ")";
  int reg = static_cast<int>(inputs.size());
  const char* separator = " ";
  for (const PointwiseInstruction& instruction : instructions) {
    text += fmt::format("{}r{}: {} = {}(", separator, reg++, dtype_name(instruction.dtype),
                        info(instruction.function).name);
    for (size_t i = 0; i < instruction.operands.size(); ++i) {
      text += fmt::format("{}r{}", i ? ", " : "", instruction.operands[i]);
    }
    text += ")";
    separator = "; ";
  }
  text += " -> ";
  for (size_t i = 0; i < results.size(); ++i) text += fmt::format("{}r{}", i ? ", " : "", results[i]);
  return text;
}

namespace {

constexpr int kMaxRegisters = 1024;

class ProgramParser {
 public:
  explicit ProgramParser(std::string_view text) : in_(text) {}

  Result<PointwiseProgram> run() {
    HR_TRY(expect("("));
    while (!in_.take(")")) {
      if (!program_.inputs.empty()) HR_TRY(expect(","));
      HR_ASSIGN(const DType dtype, type());
      program_.inputs.push_back(dtype);
    }
    while (!in_.take("->")) {
      if (!program_.instructions.empty()) HR_TRY(expect(";"));
      HR_TRY(instruction());
      if (program_.registers() > kMaxRegisters) return error("too many registers");
    }
    do {
      HR_ASSIGN(const int reg, operand());
      program_.results.push_back(reg);
    } while (in_.take(","));
    if (!in_.at_end()) return error("something follows the results");
    return std::move(program_);
  }

 private:
  Status error(std::string_view what) const {
    return invalid_argument("pointwise program '{}': {} at {}", in_.text().substr(0, 200), what, in_.at());
  }
  Status expect(std::string_view token) {
    return in_.take(token) ? Status() : error(fmt::format("expected '{}'", token));
  }
  Result<DType> type() {
    const std::optional<DType> dtype = parse_dtype(in_.word());
    if (!dtype) return error("expected a dtype");
    return *dtype;
  }
  Result<int> operand() {  // a register that exists already
    HR_ASSIGN(const int reg, register_number());
    if (reg >= program_.registers()) return error("a register is used before it is set");
    return reg;
  }
  Result<int> register_number() {
    HR_TRY(expect("r"));
    const std::optional<int64_t> reg = in_.integer();
    if (!reg || *reg < 0 || *reg > kMaxRegisters) return error("expected a register");
    return static_cast<int>(*reg);
  }

  Status instruction() {
    HR_ASSIGN(const int reg, register_number());
    if (reg != program_.registers()) return error("registers must count up");
    HR_TRY(expect(":"));
    HR_ASSIGN(const DType dtype, type());
    HR_TRY(expect("="));
    const PointwiseInfo* row = find_pointwise(in_.word());
    if (row == nullptr) return error("unknown function");
    HR_TRY(expect("("));
    PointwiseInstruction instruction{row->function, dtype, {}};
    for (int i = 0; i < row->operands; ++i) {
      if (i > 0) HR_TRY(expect(","));
      HR_ASSIGN(const int input, operand());
      instruction.operands.push_back(input);
    }
    HR_TRY(expect(")"));
    if (!dtypes_agree(*row, instruction)) return error("the dtypes do not go together");
    program_.instructions.push_back(std::move(instruction));
    return {};
  }

  bool dtypes_agree(const PointwiseInfo& row, const PointwiseInstruction& instruction) const {
    const auto dtype = [&](int i) { return program_.dtype(instruction.operands[i]); };
    if (row.function == Pointwise::kCast) return true;
    const int first = row.function == Pointwise::kWhere ? 1 : 0;
    if (first == 1 && dtype(0) != DType::kBool) return false;
    for (int i = first + 1; i < row.operands; ++i) {
      if (dtype(i) != dtype(first)) return false;
    }
    return instruction.dtype == (row.to_bool ? DType::kBool : dtype(first));
  }

  TextCursor in_;
  PointwiseProgram program_;
};

}  // namespace

Result<PointwiseProgram> PointwiseProgram::parse(std::string_view text) { return ProgramParser(text).run(); }

}  // namespace headrace
