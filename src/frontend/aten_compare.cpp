// Comparisons, logic and bits.
#include "frontend/overload.h"
#include "frontend/promotion.h"

namespace headrace::frontend {
namespace {

using enum Pointwise;

// Compared, or combined, in the common dtype.
template <Pointwise function>
Emitted promoted(OpCall& c) {
  const Operand operands[] = {c.operand("self"), c.operand("other")};
  const DType dtype = result_dtype(operands);
  return c.add(info(function).name, {as_dtype(c, operands[0], dtype), as_dtype(c, operands[1], dtype)});
}

template <Pointwise function>
Emitted logical(OpCall& c) {
  return c.add(info(function).name,
               {c.cast(c.tensor("self"), DType::kBool), c.cast(c.tensor("other"), DType::kBool)});
}

Emitted atan2(OpCall& c) {
  const Operand operands[] = {c.operand("self"), c.operand("other")};
  const DType dtype = float_dtype(result_dtype(operands));
  return c.add("atan2", {as_dtype(c, operands[0], dtype), as_dtype(c, operands[1], dtype)});
}

constexpr Overload kRows[] = {
    {"eq.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kEq>},
    {"eq.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kEq>},
    {"ne.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kNe>},
    {"ne.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kNe>},
    {"lt.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kLt>},
    {"lt.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kLt>},
    {"le.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kLe>},
    {"le.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kLe>},
    {"gt.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kGt>},
    {"gt.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kGt>},
    {"ge.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kGe>},
    {"ge.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kGe>},
    {"logical_and(Tensor self, Tensor other) -> Tensor", logical<kLogicalAnd>},
    {"logical_or(Tensor self, Tensor other) -> Tensor", logical<kLogicalOr>},
    {"logical_xor(Tensor self, Tensor other) -> Tensor", logical<kLogicalXor>},
    {"bitwise_and.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kBitwiseAnd>},
    {"bitwise_and.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kBitwiseAnd>},
    {"bitwise_or.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kBitwiseOr>},
    {"bitwise_or.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kBitwiseOr>},
    {"bitwise_xor.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kBitwiseXor>},
    {"bitwise_xor.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kBitwiseXor>},
    {"__and__.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kBitwiseAnd>},
    {"__and__.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kBitwiseAnd>},
    {"__or__.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kBitwiseOr>},
    {"__or__.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kBitwiseOr>},
    {"__xor__.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kBitwiseXor>},
    {"__xor__.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kBitwiseXor>},
    {"__lshift__.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kShiftLeft>},
    {"__lshift__.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kShiftLeft>},
    {"__rshift__.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kShiftRight>},
    {"__rshift__.Scalar(Tensor self, Scalar other) -> Tensor", promoted<kShiftRight>},
    {"bitwise_left_shift.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kShiftLeft>},
    {"bitwise_left_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor", promoted<kShiftLeft>},
    {"bitwise_right_shift.Tensor(Tensor self, Tensor other) -> Tensor", promoted<kShiftRight>},
    {"bitwise_right_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor", promoted<kShiftRight>},
    {"atan2(Tensor self, Tensor other) -> Tensor", atan2},
};

}  // namespace

std::span<const Overload> compare_overloads() { return kRows; }

}  // namespace headrace::frontend
