// PointwiseCode: a pointwise program made ready to run on tiles.
#pragma once

#include <array>
#include <vector>

#include "core/pointwise.h"
#include "kernels/cpu/step_kernel.h"
#include "kernels/cpu/tile_functions.h"

namespace headrace::cpu {

// One instruction: function(operands) -> result, then narrow on the result.
struct TileInstruction {
  TileFunction function = nullptr;
  TileFunction narrow = nullptr;  // nullptr: nothing to round or wrap
  std::array<int, 3> operands = {};
  int operand_count = 0;
  int result = 0;
  bool divides_integers = false;  // operand 1 is checked for 0
};

struct PointwiseCode {
  PointwiseProgram program;
  std::vector<TileInstruction> instructions;
  std::vector<int> slots;  // by register: the tile that holds it; kNone where memory itself serves
  int slot_count = 0;
  double ns_per_element = 0;  // a rough cost

  // `in_place[i]`: input i is read where it lies. `last_in_place`: the last instruction writes to memory.
  static Result<PointwiseCode> make(const StepShapes& step, PointwiseProgram program,
                                    const std::vector<bool>& in_place, bool last_in_place);
};

}  // namespace headrace::cpu
