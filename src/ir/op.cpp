#include "ir/op.h"

#include <algorithm>
#include <list>
#include <map>

#include "ir/infer.h"

namespace headrace::ir {
namespace {

struct Table {
  std::list<OpInfo> rows;  // a list: an Op is the address of its row
  std::map<std::string_view, Op> by_name;
  std::vector<Op> sorted;
  std::vector<Op> by_function = std::vector<Op>(static_cast<size_t>(kPointwiseCount), nullptr);

  Table() {
    for (auto family : {pointwise_ops, product_ops, window_ops, norm_ops, reduce_ops, shape_ops, index_ops}) {
      for (OpInfo& row : family()) rows.push_back(std::move(row));
    }
    for (const OpInfo& row : rows) {
      by_name[row.name] = &row;
      if (row.pointwise != nullptr) by_function[static_cast<size_t>(row.pointwise->function)] = &row;
    }
    for (const auto& [name, op] : by_name) sorted.push_back(op);
  }
};

const Table& table() {
  static const Table kTable;
  return kTable;
}

}  // namespace

Op find_op(std::string_view name) {
  const auto found = table().by_name.find(name);
  return found == table().by_name.end() ? nullptr : found->second;
}
Op op(Pointwise function) { return table().by_function[static_cast<size_t>(function)]; }
std::span<const Op> all_ops() { return table().sorted; }

std::string to_text(const Type& type) {
  return std::string(dtype_name(type.dtype)) + headrace::to_text(type.shape);
}

Status require_present(const Node& node, std::initializer_list<size_t> indices) {
  for (size_t index : indices) {
    if (node.input(index) == nullptr) return op_error(node, "input {} is required", index);
  }
  return {};
}

Status require_same_dtype(const Node& node, std::initializer_list<size_t> indices) {
  const Value* first = nullptr;
  for (size_t index : indices) {
    const Value* input = node.input(index);
    if (input == nullptr) continue;
    if (first == nullptr) first = input;
    if (input->dtype() != first->dtype()) {
      return op_error(node, "dtypes differ: '{}' is {}, '{}' is {}; they must be equal", first->name(),
                      dtype_name(first->dtype()), input->name(), dtype_name(input->dtype()));
    }
  }
  return {};
}

Status require_float(const Node& node, size_t index) {
  const Value* input = node.input(index);
  if (input == nullptr || is_float(input->dtype())) return {};
  return op_error(node, "'{}' is {}; it must be a float", input->name(), dtype_name(input->dtype()));
}

Result<int64_t> require_axis(const Node& node, std::string_view attribute, int64_t rank) {
  const int64_t axis = node.attributes().integer(attribute, -1);
  if (axis < 0 || axis >= rank) {
    return op_error(node, "{} {} is outside 0 … {}", attribute, axis, rank - 1);
  }
  return axis;
}

Status check_epilogue(const Node& node, size_t residual, const Type& result, bool residual_broadcasts) {
  const std::string epilogue = node.attributes().text("epilogue");
  if (!epilogue.empty()) {
    const PointwiseInfo* row = find_pointwise(epilogue);
    if (row == nullptr || row->operands != 1 || row->to_bool || row->function == Pointwise::kCast) {
      return op_error(node, "'{}' is no unary function that an epilogue can be", epilogue);
    }
  }
  const Value* added = node.input(residual);
  if (added == nullptr) return {};
  if (added->dtype() != result.dtype) {
    return op_error(node, "residual '{}' is {}; the result is {}", added->name(), to_text(added->type()),
                    to_text(result));
  }
  if (added->shape() == result.shape) return {};
  const Result<Shape> shape = broadcast(result.shape, added->shape());
  if (!residual_broadcasts || !shape.ok() || *shape != result.shape) {
    return op_error(node, "residual '{}' is {}; it does not fit the result {}", added->name(),
                    to_text(added->type()), to_text(result));
  }
  return {};
}

}  // namespace headrace::ir
