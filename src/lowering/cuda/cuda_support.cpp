#include "lowering/cuda/cuda_support.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/pointwise.h"
#include "kernels/cuda/generated_args.h"
#include "kernels/cuda/generated_step.h"
#include "lowering/cuda/pointwise_source.h"

namespace headrace::cuda {

namespace {

Support yes() { return {}; }
template <class... Args>
Support no(fmt::format_string<Args...> format, Args&&... args) {
  return {fmt::format(format, std::forward<Args>(args)...)};
}

Support supports_function(Pointwise function, DType dtype) {
  if (computes(function, dtype)) return yes();
  return no("{} of {} is not defined", info(function).name, dtype_name(dtype));
}

Support check_single(const ir::Node& node) {
  const PointwiseInfo& row = *node.op()->pointwise;
  return supports_function(row.function, node.input(row.function == Pointwise::kWhere ? 1 : 0)->dtype());
}

Support check_program(const ir::Node& node) {
  const Result<PointwiseProgram> program = PointwiseProgram::parse(node.attributes().text("program"));
  if (!program.ok()) return no("{}", program.status().message());
  for (const PointwiseInstruction& step : program->instructions) {
    const size_t operand = step.function == Pointwise::kWhere ? 1 : 0;
    const Support support = supports_function(step.function, program->dtype(step.operands[operand]));
    if (!support.ok()) return support;
  }
  return yes();
}

Support check_floats(const ir::Node& node) {
  const DType dtype = node.input(0)->dtype();
  if (is_float(dtype)) return yes();
  return no("{} of {} is not supported; f16, bf16, f32 and f64 are", node.op()->name, dtype_name(dtype));
}

// Operands that are computed in another type than x: only f64 beside a shorter float differs so.
Support check_one_type(const ir::Node& node) {
  const bool wide = node.input(0)->dtype() == DType::kF64;
  for (const ir::Value* input : node.inputs())
    if (input && input->dtype() != DType::kBool && (input->dtype() == DType::kF64) != wide)
      return no("{} of {} and {} is not supported; give both one dtype", node.op()->name,
                dtype_name(node.input(0)->dtype()), dtype_name(input->dtype()));
  return check_floats(node);
}

Support check_epilogue(const ir::Node& node) {
  const std::string name = node.attributes().text("epilogue");
  if (name.empty()) return yes();
  const PointwiseInfo* found = find_pointwise(name);
  if (!found || found->operands != 1 || found->to_bool || found->function == Pointwise::kCast)
    return no("an epilogue of '{}' is not supported; functions of one operand and its dtype are", name);
  return supports_function(found->function, node.output()->dtype());
}

Support check_matmul(const ir::Node& node) {
  if (node.output()->dtype() == DType::kBool) return no("matmul of bool is not supported; numbers are");
  return check_epilogue(node);
}

Support check_window(const ir::Node& node) {
  const int64_t rank = node.input(0)->rank();
  if (rank < 3 || rank > 5)
    return no("{} over {} dimensions is not supported; 1, 2 and 3 are", node.op()->name, rank - 2);
  return check_floats(node);
}

Support check_conv(const ir::Node& node) {
  const Support support = check_window(node);
  if (!support.ok()) return support;
  const Shape& weight = node.input(1)->shape();
  if (!is_static(std::span<const Dim>(weight).subspan(2)))
    return no("conv with a window of sizes {} that change is not supported", to_text(weight));
  return check_epilogue(node);
}

Support check_attention(const ir::Node& node) {
  constexpr int64_t kMost = 1024;
  for (const size_t i : {size_t{0}, size_t{2}}) {
    const Dim& size = node.input(i)->shape().back();
    if (!size.is_constant() || size.constant() < 1 || size.constant() > kMost)
      return no("attention with heads of size {} is not supported; constant sizes of 1 to {} are",
                size.text(), kMost);
  }
  return check_one_type(node);
}

Support check_cumsum(const ir::Node& node) {
  if (node.input(0)->dtype() == DType::kBool) return no("cumsum of bool is not supported; numbers are");
  return yes();
}

Support check_any(const ir::Node&) { return yes(); }

struct Row {
  std::string_view op;
  Support (*check)(const ir::Node&);
};
constexpr Row kRows[] = {
    {"pointwise", check_program},
    {"matmul", check_matmul},
    {"conv", check_conv},
    {"batch_norm", check_one_type},
    {"layer_norm", check_one_type},
    {"rms_norm", check_one_type},
    {"group_norm", check_one_type},
    {"softmax", check_floats},
    {"attention", check_attention},
    {"rotary", check_one_type},
    {"reduce", check_any},
    {"arg_reduce", check_any},
    {"cumsum", check_cumsum},
    {"max_pool", check_window},
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

Support check_ranks(const ir::Node& node) {
  for (const auto* values : {&node.inputs(), &node.outputs()})
    for (const ir::Value* value : *values)
      if (value && value->rank() > kGeneratedRank)
        return no("a tensor of {} dimensions is not supported; {} are", value->rank(), kGeneratedRank);
  return yes();
}

// Kernels take so many tensors; a concatenation is a copy for each of its own.
Support check_operands(const ir::Node& node) {
  if (node.is("concat")) return yes();
  const size_t count = node.inputs().size() + node.outputs().size();
  if (count <= kGeneratedOperands) return yes();
  return no("{} of {} operands and results is not supported; {} are", node.op()->name, count,
            kGeneratedOperands);
}

}  // namespace

Support supports_node(const ir::Node& node) {
  for (const auto check : {check_ranks, check_operands}) {
    Support support = check(node);
    if (!support.ok()) return support;
  }
  if (node.op()->pointwise) return check_single(node);
  const auto row =
      std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& row) { return node.is(row.op); });
  if (row == std::end(kRows)) return no("the cuda back end has no kernel for {}", node.op()->name);
  return row->check(node);
}

}  // namespace headrace::cuda
