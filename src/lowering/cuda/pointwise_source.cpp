#include "lowering/cuda/pointwise_source.h"

#include <algorithm>

#include <fmt/format.h>

#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

namespace {

using enum Pointwise;

bool is_one_of(Pointwise function, std::initializer_list<Pointwise> list) {
  return std::find(list.begin(), list.end(), function) != list.end();
}

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

// A register of these lies in a wider one and must be wrapped.
bool wraps(DType dtype) {
  return dtype == DType::kBool || dtype == DType::kU8 || dtype == DType::kI8 || dtype == DType::kI16;
}

std::string function_name(const PointwiseInstruction& instruction, DType operand) {
  const Pointwise function = instruction.function;
  if (function == kBitwiseNot && operand == DType::kBool) return "fn_logical_not";
  if (is_half(operand) && is_one_of(function, {kGelu, kSilu, kSigmoid}))
    return fmt::format("half_{}", info(function).name);
  if (function == kShiftLeft || function == kShiftRight)
    return fmt::format("{}_of<{}>", info(function).name, dtype_size(operand) * 8);
  return fmt::format("fn_{}", info(function).name);
}

}  // namespace

bool computes(Pointwise function, DType dtype) {
  const bool floats_only =
      is_one_of(function, {kExp,      kExpm1, kLog,       kLog1p,       kSqrt,    kRsqrt, kReciprocal, kSin,
                           kCos,      kTan,   kTanh,      kErf,         kSigmoid, kGelu,  kGeluTanh,   kSilu,
                           kSoftplus, kMish,  kHardswish, kHardsigmoid, kDiv,     kAtan2, kLeakyRelu,  kElu});
  const bool integers_only =
      is_one_of(function, {kBitwiseNot, kBitwiseAnd, kBitwiseOr, kBitwiseXor, kShiftLeft, kShiftRight});
  if (is_float(dtype)) return !integers_only;
  if (dtype == DType::kBool && is_one_of(function, {kShiftLeft, kShiftRight})) return false;
  return !floats_only;
}

std::string instructions_text(const PointwiseProgram& program) {
  std::string text;
  auto reg = program.inputs.size();
  for (const PointwiseInstruction& instruction : program.instructions) {
    const size_t typed = instruction.function == kWhere ? 1 : 0;
    const DType operand = program.dtype(instruction.operands[typed]);
    std::string value;
    if (instruction.function == kCast) {
      value = fmt::format("round_to<{}>(r{})", type_name(instruction.dtype), instruction.operands[0]);
    } else {
      value = function_name(instruction, operand) + "(";
      for (size_t i = 0; i < instruction.operands.size(); ++i)
        value += fmt::format("{}r{}", i > 0 ? ", " : "", instruction.operands[i]);
      value += ")";
      if (wraps(instruction.dtype) && !info(instruction.function).to_bool)
        value = fmt::format("round_to<{}>({})", type_name(instruction.dtype), value);
    }
    text += fmt::format("const {} r{} = {};\n", compute_name(instruction.dtype), reg++, value);
  }
  return text;
}

std::string epilogue_text(std::string_view name, std::string_view epilogue, DType dtype) {
  const std::string_view type = compute_name(dtype);
  std::string value = "r0";
  if (!epilogue.empty()) {
    value = fmt::format("{}(r0)", function_name({find_pointwise(epilogue)->function, dtype, {0}}, dtype));
    if (wraps(dtype)) value = fmt::format("round_to<{}>({})", type_name(dtype), value);
  }
  return fmt::format("struct {0} {{\n  DEVICE static {1} of({1} r0) {{ return {2}; }}\n}};\n", name, type,
                     value);
}

}  // namespace headrace::cuda
