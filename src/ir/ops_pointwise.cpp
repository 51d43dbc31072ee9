// Ops that work element by element: one for each Pointwise function, and the fused `pointwise`.
#include "ir/infer.h"

namespace headrace::ir {
namespace {

Result<Shape> broadcast_inputs(const Node& node) {
  Shape shape;
  for (const Value* input : node.inputs()) {
    const Result<Shape> joined = broadcast(shape, input->shape());
    if (!joined.ok()) return op_error(node, "{}", joined.status().message());
    shape = *joined;
  }
  return shape;
}

Status check_operand_dtypes(const Node& node, const PointwiseInfo& row) {
  const bool where = row.function == Pointwise::kWhere;
  if (where && node.input(0)->dtype() != DType::kBool) {
    return op_error(node, "the condition '{}' is {}; it must be bool", node.input(0)->name(),
                    dtype_name(node.input(0)->dtype()));
  }
  if (where) return require_same_dtype(node, {1, 2});
  if (row.operands == 2) HR_TRY(require_same_dtype(node, {0, 1}));
  const bool float_only = row.function >= Pointwise::kExp && row.function <= Pointwise::kSigmoid;
  return float_only || row.function == Pointwise::kDiv ? require_float(node, 0) : Status();
}

Result<Types> infer_function(const Node& node) {
  const PointwiseInfo& row = *node.op()->pointwise;
  for (size_t i = 0; i < node.inputs().size(); ++i) HR_TRY(require_present(node, {i}));
  HR_TRY(check_operand_dtypes(node, row));
  HR_ASSIGN(Shape shape, broadcast_inputs(node));
  DType dtype = row.to_bool ? DType::kBool : node.inputs().back()->dtype();
  if (row.function == Pointwise::kCast) dtype = node.attributes().get<DType>("dtype", dtype);
  return Types{{dtype, std::move(shape)}};
}

Result<Types> infer_program(const Node& node) {
  const Result<PointwiseProgram> program = PointwiseProgram::parse(node.attributes().text("program"));
  if (!program.ok()) return op_error(node, "{}", program.status().message());
  if (program->inputs.size() != node.inputs().size()) {
    return op_error(node, "{} inputs for a program of {}", node.inputs().size(), program->inputs.size());
  }
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    HR_TRY(require_present(node, {i}));
    if (node.input(i)->dtype() != program->inputs[i]) {
      return op_error(node, "input '{}' is {}; the program's r{} is {}", node.input(i)->name(),
                      dtype_name(node.input(i)->dtype()), i, dtype_name(program->inputs[i]));
    }
  }
  HR_ASSIGN(const Shape shape, broadcast_inputs(node));
  Types types;
  for (int reg : program->results) types.push_back({program->dtype(reg), shape});
  return types;
}

}  // namespace

std::vector<OpInfo> pointwise_ops() {
  std::vector<OpInfo> rows;
  for (const PointwiseInfo& row : all_pointwise()) {
    std::vector<AttributeInfo> attributes;
    if (row.function == Pointwise::kCast) {
      attributes.push_back({"dtype", AttributeKind::kDType, true, "of the result"});
    }
    rows.push_back(
        {row.name, row.operands, row.operands, std::move(attributes), infer_function, row.doc, &row});
  }
  rows.push_back({"pointwise",
                  1,
                  -1,
                  {{"program", AttributeKind::kText, true, "a PointwiseProgram"}},
                  infer_program,
                  "A fused program of element-wise functions; one output for each of its results."});
  return rows;
}

}  // namespace headrace::ir
