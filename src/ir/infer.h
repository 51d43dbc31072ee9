// Helpers of the op table's inference functions.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"
#include "ir/graph.h"
#include "ir/op.h"

namespace headrace::ir {

using Types = std::vector<Type>;

// "matmul 'linear_3': " and the message.
template <class... Args>
Status op_error(const Node& node, fmt::format_string<Args...> format, Args&&... args) {
  return invalid_argument("{} '{}': {}", node.op()->name, node.name(),
                          fmt::format(format, std::forward<Args>(args)...));
}

Status require_present(const Node& node, std::initializer_list<size_t> indices);
Status require_same_dtype(const Node& node,
                          std::initializer_list<size_t> indices);  // absent inputs are skipped
Status require_float(const Node& node, size_t index);
Result<int64_t> require_axis(const Node& node, std::string_view attribute, int64_t rank);
// The residual of matmul and conv (input `index`) must have the result's shape and dtype; epilogues must
// exist.
Status check_epilogue(const Node& node, size_t residual, const Type& result, bool residual_broadcasts);

// The rows of each family.
std::vector<OpInfo> pointwise_ops();
std::vector<OpInfo> product_ops();
std::vector<OpInfo> window_ops();  // conv and pools
std::vector<OpInfo> norm_ops();
std::vector<OpInfo> reduce_ops();
std::vector<OpInfo> shape_ops();
std::vector<OpInfo> index_ops();

}  // namespace headrace::ir
