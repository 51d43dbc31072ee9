// Pointwise functions and programs: what is computed element by element.
//
// The same functions are single ops of the IR and instructions of a fused program. A program is a short
// straight-line list: registers r0 … r(inputs-1) are the operands, each instruction adds one register, and
// `results` name the registers that are stored. Semantics are PyTorch's for the same dtype. A register's
// dtype decides the arithmetic: f16, bf16 and f32 registers are computed in float (f64 in double), integers
// in int64, bool as 0 / 1; a value is rounded to its dtype where it is stored and at `cast`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/dtype.h>
#include <headrace/status.h>

namespace headrace {

enum class Pointwise : uint8_t {
  // Unary; the result has the operand's dtype unless said.
  kCast,  // to the register's dtype; float to integer truncates, anything to bool is != 0
  kNeg,
  kAbs,
  kSign,
  kExp,
  kExpm1,
  kLog,
  kLog1p,
  kSqrt,
  kRsqrt,
  kReciprocal,
  kSin,
  kCos,
  kTan,
  kTanh,
  kErf,
  kSigmoid,
  kFloor,
  kCeil,
  kRound,
  kTrunc,  // round: half to even
  kRelu,
  kGelu,
  kGeluTanh,
  kSilu,
  kSoftplus,
  kMish,
  kHardswish,
  kHardsigmoid,  // softplus: beta 1, threshold 20
  kIsNan,
  kIsInf,       // to bool
  kLogicalNot,  // to bool
  kBitwiseNot,
  // Binary, operands of one dtype; the result has it too unless said.
  kAdd,
  kSub,
  kMul,
  kDiv,  // div: true division, floats only
  kFloorDiv,
  kTruncDiv,
  kRemainder,
  kFmod,  // floor_div, remainder: sign of the divisor (Python); fmod: of the dividend (C)
  kPow,
  kAtan2,
  kMinimum,
  kMaximum,  // NaN wins in minimum and maximum
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,  // to bool
  kLogicalAnd,
  kLogicalOr,
  kLogicalXor,  // to bool
  kBitwiseAnd,
  kBitwiseOr,
  kBitwiseXor,
  kShiftLeft,
  kShiftRight,
  kLeakyRelu,  // operands x, slope
  kElu,        // operands x, alpha
  // Ternary.
  kWhere,  // operands condition (bool), a, b
};
inline constexpr int kPointwiseCount = static_cast<int>(Pointwise::kWhere) + 1;

struct PointwiseInfo {
  Pointwise function;
  std::string_view name;  // "add", "gelu_tanh", …: also the IR op's name
  int operands;
  bool to_bool;  // the result is bool whatever the operands are
  std::string_view doc;
};
const PointwiseInfo& info(Pointwise function);
std::span<const PointwiseInfo> all_pointwise();              // in the order of the enumeration
const PointwiseInfo* find_pointwise(std::string_view name);  // nullptr where there is none

struct PointwiseInstruction {
  Pointwise function;
  DType dtype;                // of the result
  std::vector<int> operands;  // registers
  bool operator==(const PointwiseInstruction&) const = default;
};

struct PointwiseProgram {
  std::vector<DType> inputs;
  std::vector<PointwiseInstruction> instructions;
  std::vector<int> results;

  int registers() const { return static_cast<int>(inputs.size() + instructions.size()); }
  DType dtype(int reg) const;  // REQUIRES: 0 <= reg < registers()
  // "(bf16, f32) r2: f32 = cast(r0); r3: f32 = mul(r2, r1) -> r3"
  std::string text() const;
  // Checks everything: counts, registers, dtypes. Errors: kInvalidArgument.
  static Result<PointwiseProgram> parse(std::string_view text);
  bool operator==(const PointwiseProgram&) const = default;
};

}  // namespace headrace
