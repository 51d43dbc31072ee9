#include "lowering/support_checks.h"

#include <algorithm>

#include "core/error.h"
#include "core/pointwise.h"
#include "lowering/pointwise_program.h"

namespace headrace {

namespace {

Support check_function(const SupportRules& rules, Pointwise function, DType dtype) {
  if (rules.computes(function, dtype)) return supported();
  return not_supported("{} of {} is not defined", info(function).name, dtype_name(dtype));
}

Support check_program(const ir::Node& node, const SupportRules& rules) {
  const Result<PointwiseProgram> program = program_of(node);
  if (!program.ok()) return not_supported("{}", program.status().message());
  for (const PointwiseInstruction& step : program->instructions) {
    const int operand = step.operands[step.function == Pointwise::kWhere ? 1 : 0];
    const Support support = check_function(rules, step.function, program->dtype(operand));
    if (!support.ok()) return support;
  }
  return supported();
}

Support check_epilogue(const ir::Node& node, const SupportRules& rules) {
  const std::string name = node.attributes().text("epilogue");
  if (name.empty()) return supported();
  const PointwiseInfo* found = find_pointwise(name);
  if (!found || found->operands != 1 || found->to_bool || found->function == Pointwise::kCast)
    return not_supported("an epilogue of '{}' is not supported; functions of one operand and its dtype are",
                         name);
  return check_function(rules, found->function, node.output()->dtype());
}

Support check_any(const ir::Node&) { return supported(); }

Support check_floats(const ir::Node& node) {
  const DType dtype = node.input(0)->dtype();
  if (is_float(dtype)) return supported();
  return not_supported("{} of {} is not supported; f16, bf16, f32 and f64 are", node.op()->name,
                       dtype_name(dtype));
}

// Over how many dimensions windows slide.
Support check_spatial(const ir::Node& node) {
  const int64_t rank = node.input(0)->rank();
  if (rank >= 3 && rank <= 5) return supported();
  return not_supported("{} over {} dimensions is not supported; 1, 2 and 3 are", node.op()->name, rank - 2);
}

Support check_window(const ir::Node& node) {
  const Support support = check_spatial(node);
  return support.ok() ? check_floats(node) : support;
}

// Operands that are computed in another type than x: only f64 beside a shorter float differs so.
Support check_one_type(const ir::Node& node) {
  const bool wide = node.input(0)->dtype() == DType::kF64;
  for (const ir::Value* input : node.inputs())
    if (input && input->dtype() != DType::kBool && (input->dtype() == DType::kF64) != wide)
      return not_supported("{} of {} and {} is not supported; give both one dtype", node.op()->name,
                           dtype_name(node.input(0)->dtype()), dtype_name(input->dtype()));
  return check_floats(node);
}

Support check_cumsum(const ir::Node& node) {
  if (node.input(0)->dtype() == DType::kBool)
    return not_supported("cumsum of bool is not supported; numbers are");
  return supported();
}

Support check_matmul(const ir::Node& node) {
  if (node.output()->dtype() != DType::kBool) return supported();
  return not_supported("matmul of bool is not supported; numbers are");
}

constexpr SupportRow kRows[] = {
    {"matmul", check_matmul},
    {"conv", check_window},
    {"batch_norm", check_one_type},
    {"layer_norm", check_one_type},
    {"rms_norm", check_one_type},
    {"group_norm", check_one_type},
    {"softmax", check_floats},
    {"attention", check_one_type},
    {"rotary", check_one_type},
    {"reduce", check_any},
    {"arg_reduce", check_any},
    {"cumsum", check_cumsum},
    {"max_pool", check_spatial},
    {"avg_pool", check_window},
    {"adaptive_avg_pool", check_window},
    {"reshape", check_any},
    {"transpose", check_any},
    {"expand", check_any},
    {"slice", check_any},
    {"concat", check_any},
    {"pad", check_any},
    {"gather", check_any},
    {"gather_elements", check_any},
    {"index", check_any},
    {"iota", check_any},
    {"fill", check_any},
    {"dim_value", check_any},
};

const SupportRow* find_row(std::span<const SupportRow> rows, const ir::Node& node) {
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const SupportRow& row) { return node.is(row.op); });
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace

Support check_support(const ir::Node& node, const SupportRules& rules) {
  if (node.op()->pointwise || node.is("pointwise")) return check_program(node, rules);
  const SupportRow* const common = find_row(kRows, node);
  if (!common) return not_supported("the {} back end has no kernel for {}", rules.backend, node.op()->name);
  for (const SupportRow* row : {common, find_row(rules.limits, node)})
    if (row)
      if (Support support = row->check(node); !support.ok()) return support;
  return check_epilogue(node, rules);
}

}  // namespace headrace
