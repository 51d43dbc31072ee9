// Pointwise ops and programs, run over blocks of elements.
#include <algorithm>
#include <array>
#include <vector>

#include "kernels/reference/op.h"

namespace headrace::reference {

namespace {

constexpr int64_t kBlock = 256;

struct Register {
  std::array<double, kBlock> floats;
  std::array<int64_t, kBlock> integers;
};

// Reads an array as if it were broadcast, in row-major order, a block at a time.
class BroadcastReader {
 public:
  BroadcastReader(const Array& array, const Sizes& to)
      : array_(array), shape_(to), strides_(broadcast_strides(array.shape, to)), index_(to.size(), 0) {}

  void read(int64_t count, Register& out) {
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(offset_);
      if (is_float(array_.dtype))
        out.floats[static_cast<size_t>(i)] = array_.floats[at];
      else
        out.integers[static_cast<size_t>(i)] = array_.integers[at];
      advance();
    }
  }

 private:
  void advance() {
    for (size_t axis = shape_.size(); axis-- > 0;) {
      offset_ += strides_[axis];
      if (++index_[axis] < shape_[axis]) return;
      offset_ -= index_[axis] * strides_[axis];
      index_[axis] = 0;
    }
  }
  const Array& array_;
  const Sizes& shape_;
  Sizes strides_;
  Sizes index_;
  int64_t offset_ = 0;
};

Status run_block(const Call& call, const PointwiseProgram& program, std::vector<Register>& registers,
                 int64_t count) {
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const PointwiseInstruction& instruction = program.instructions[i];
    std::vector<Operand> operands;
    for (const int reg : instruction.operands) {
      const Register& from = registers[static_cast<size_t>(reg)];
      operands.push_back({program.dtype(reg), from.floats.data(), from.integers.data()});
    }
    Register& to = registers[program.inputs.size() + i];
    if (!apply(instruction.function, instruction.dtype, operands, count, to.floats.data(),
               to.integers.data()))
      return invalid_argument("{}: an integer is divided by zero", call.label);
  }
  return {};
}

Status run_program(const Call& call, const PointwiseProgram& program) {
  HR_TRY(call.expect(call.inputs.size() == program.inputs.size(),
                     "the program takes another number of operands"));
  HR_TRY(call.expect(call.outputs.size() == program.results.size(),
                     "the program has another number of results"));
  const Sizes& shape = call.outputs[0].shape;
  std::vector<Array> arrays;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    HR_ASSIGN(arrays.emplace_back(), call.load(i));
    HR_TRY(call.expect(arrays[i].dtype == program.inputs[i], "an operand's dtype is not the program's"));
    HR_TRY(call.expect(can_broadcast(arrays[i].shape, shape), "an operand does not broadcast to the result"));
  }
  std::vector<Array> results;
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    const DType dtype = program.dtype(program.results[i]);
    HR_TRY(call.expect(dtype == call.outputs[i].dtype, "a result's dtype is not the program's"));
    HR_ASSIGN(results.emplace_back(), call.scratch.make(dtype, shape));
  }
  std::vector<BroadcastReader> readers;
  for (const Array& array : arrays) readers.emplace_back(array, shape);
  std::vector<Register> registers(static_cast<size_t>(program.registers()));
  const int64_t elements = element_count(std::span<const int64_t>(shape));
  for (int64_t start = 0; start < elements; start += kBlock) {
    const int64_t count = std::min(kBlock, elements - start);
    for (size_t i = 0; i < readers.size(); ++i) readers[i].read(count, registers[i]);
    HR_TRY(run_block(call, program, registers, count));
    for (size_t i = 0; i < results.size(); ++i) {
      const Register& from = registers[static_cast<size_t>(program.results[i])];
      if (is_float(results[i].dtype))
        std::copy_n(from.floats.begin(), count, results[i].floats.begin() + start);
      else
        std::copy_n(from.integers.begin(), count, results[i].integers.begin() + start);
    }
  }
  for (size_t i = 0; i < results.size(); ++i) HR_TRY(call.store(results[i], i));
  return {};
}

Status pointwise_program(const Call& call) {
  HR_ASSIGN(const PointwiseProgram program, PointwiseProgram::parse(call.attributes.text("program")));
  return run_program(call, program);
}

// A single op is a program of one instruction.
Status pointwise_op(const Call& call) {
  const PointwiseInfo* function = find_pointwise(call.kernel);
  HR_TRY(call.expect(function && static_cast<int>(call.inputs.size()) == function->operands,
                     "the op takes another number of operands"));
  PointwiseProgram program;
  PointwiseInstruction instruction{function->function, call.outputs[0].dtype, {}};
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    HR_TRY(call.expect(call.inputs[i] != nullptr, "an operand is absent"));
    program.inputs.push_back(call.inputs[i]->dtype);
    instruction.operands.push_back(static_cast<int>(i));
  }
  program.instructions.push_back(std::move(instruction));
  program.results = {static_cast<int>(call.inputs.size())};
  // Its dtypes are checked as any program's.
  HR_ASSIGN(program, PointwiseProgram::parse(program.text()));
  return run_program(call, program);
}

}  // namespace

std::span<const Op> pointwise_ops() {
  static const std::vector<Op> ops = [] {
    std::vector<Op> table = {{"pointwise", 0, -1, -1, pointwise_program}};
    for (const PointwiseInfo& function : all_pointwise())
      table.push_back({function.name, function.operands, function.operands, 1, pointwise_op});
    return table;
  }();
  return ops;
}

}  // namespace headrace::reference
