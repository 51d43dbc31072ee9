#include "lowering/pointwise_program.h"

namespace headrace {

Result<PointwiseProgram> program_of(const ir::Node& node) {
  if (!node.op()->pointwise) return PointwiseProgram::parse(node.attributes().text("program"));
  PointwiseProgram program;
  PointwiseInstruction instruction = {node.op()->pointwise->function, node.output()->dtype(), {}};
  for (const ir::Value* input : node.inputs()) {
    instruction.operands.push_back(static_cast<int>(program.inputs.size()));
    program.inputs.push_back(input->dtype());
  }
  program.results = {static_cast<int>(program.inputs.size())};
  program.instructions.push_back(std::move(instruction));
  return program;
}

}  // namespace headrace
