#include "kernels/cpu/pointwise_code.h"

#include <algorithm>

#include "kernels/cpu/pointwise_kernel.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/step_checks.h"

namespace headrace::cpu {
namespace {

// Whether a result in the lane may not fit the register's dtype, so that PyTorch would wrap it.
bool may_overflow(Pointwise function) {
  using enum Pointwise;
  switch (function) {
    case kNeg:
    case kAbs:
    case kBitwiseNot:
    case kAdd:
    case kSub:
    case kMul:
    case kFloorDiv:
    case kTruncDiv:
    case kPow:
    case kShiftLeft: return true;
    default: return false;
  }
}

bool divides(Pointwise function) {
  using enum Pointwise;
  return function == kFloorDiv || function == kTruncDiv || function == kRemainder || function == kFmod;
}

double cost_ns(Pointwise function, Lane lane) {
  using enum Pointwise;
  if (lane == Lane::kDouble) return function >= kAdd ? 0.3 : 5.0;
  if (function == kPow || function == kAtan2 || function == kFmod || function == kRemainder) return 10.0;
  if (function == kFloorDiv || function == kTruncDiv) return 3.0;
  const bool cheap = function >= kAdd || function == kCast || function == kNeg || function == kAbs ||
                     function == kRelu || function == kLogicalNot;
  return cheap ? 0.05 : 0.5;
}

// Registers that are read by an instruction, rather than only stored.
std::vector<bool> operands_of(const PointwiseProgram& program) {
  std::vector<bool> used(static_cast<size_t>(program.registers()));
  for (const PointwiseInstruction& instruction : program.instructions) {
    for (const int reg : instruction.operands) used[static_cast<size_t>(reg)] = true;
  }
  return used;
}

// Gives each register a tile; a tile is free again after its register's last use.
void assign_slots(PointwiseCode& code, const std::vector<bool>& in_place, bool last_in_place) {
  const PointwiseProgram& program = code.program;
  const auto inputs = static_cast<int>(program.inputs.size());
  const auto count = static_cast<int>(program.instructions.size());
  std::vector<int> last_use(static_cast<size_t>(program.registers()), -1);
  for (int i = 0; i < count; ++i) {
    for (const int reg : program.instructions[static_cast<size_t>(i)].operands)
      last_use[static_cast<size_t>(reg)] = i;
  }
  for (const int reg : program.results) last_use[static_cast<size_t>(reg)] = count;

  code.slots.assign(static_cast<size_t>(program.registers()), kNone);
  // Inputs keep theirs: a broadcast one is loaded once for many tiles.
  for (int i = 0; i < inputs; ++i) {
    if (!in_place[static_cast<size_t>(i)]) code.slots[static_cast<size_t>(i)] = code.slot_count++;
  }
  std::vector<int> free;
  for (int i = 0; i < count; ++i) {
    const auto reg = static_cast<size_t>(inputs + i);
    if (!(last_in_place && i == count - 1)) {
      if (free.empty()) free.push_back(code.slot_count++);
      code.slots[reg] = free.back();
      free.pop_back();
    }
    for (int r = inputs; r <= inputs + i; ++r) {
      const bool dies = last_use[static_cast<size_t>(r)] == i || (r == inputs + i && last_use[reg] < 0);
      if (dies && code.slots[static_cast<size_t>(r)] != kNone)
        free.push_back(code.slots[static_cast<size_t>(r)]);
    }
  }
}

}  // namespace

bool computes(Pointwise function, DType dtype) {
  if (function == Pointwise::kCast) return true;
  return tile_functions().function[static_cast<size_t>(function)][static_cast<size_t>(lane_of(dtype))] !=
         nullptr;
}

Result<PointwiseCode> PointwiseCode::make(const StepShapes& step, PointwiseProgram program,
                                          const std::vector<bool>& in_place, bool last_in_place) {
  const TileFunctions& tiles = tile_functions();
  PointwiseCode code;
  const std::vector<bool> is_operand = operands_of(program);
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const PointwiseInstruction& from = program.instructions[i];
    TileInstruction made;
    made.result = static_cast<int>(program.inputs.size() + i);
    made.operand_count = static_cast<int>(from.operands.size());
    std::copy(from.operands.begin(), from.operands.end(), made.operands.begin());
    const DType operand = program.dtype(from.operands[from.function == Pointwise::kWhere ? 1 : 0]);
    const Lane lane = lane_of(operand);
    if (!computes(from.function, operand))
      return malformed(step, "{} of {} is not defined", info(from.function).name, dtype_name(operand));
    if (from.function == Pointwise::kCast) {
      made.function = tiles.cast[static_cast<size_t>(lane)][static_cast<size_t>(lane_of(from.dtype))];
      // What is only stored is rounded there.
      if (is_operand[static_cast<size_t>(made.result)])
        made.narrow = tiles.narrow[static_cast<size_t>(from.dtype)];
    } else {
      made.function = tiles.function[static_cast<size_t>(from.function)][static_cast<size_t>(lane)];
      if (lane_of(from.dtype) == Lane::kInt && may_overflow(from.function))
        made.narrow = tiles.narrow[static_cast<size_t>(from.dtype)];
      made.divides_integers = lane == Lane::kInt && divides(from.function);
    }
    code.instructions.push_back(made);
    code.ns_per_element += cost_ns(from.function, lane);
  }
  for (const DType input : program.inputs)
    code.ns_per_element += 0.02 * static_cast<double>(dtype_size(input));
  code.program = std::move(program);
  assign_slots(code, in_place, last_in_place);
  return code;
}

}  // namespace headrace::cpu
