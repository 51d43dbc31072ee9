// The rules of simplify. Each looks at one node and says whether it rewrote it; the node may be gone then.
#pragma once

#include "passes/rewrite.h"

namespace headrace::passes {

Result<bool> simplify_reshape(Graph& graph, Node* node);
Result<bool> simplify_transpose(Graph& graph, Node* node);
Result<bool> simplify_expand(Graph& graph, Node* node);
Result<bool> simplify_slice(Graph& graph, Node* node);
Result<bool> simplify_concat(Graph& graph, Node* node);
Result<bool> simplify_pad(Graph& graph, Node* node);
Result<bool> simplify_index(Graph& graph, Node* node);  // gather and index by ranges: moves
Result<bool> simplify_cast(Graph& graph, Node* node);
Result<bool> simplify_matmul(Graph& graph, Node* node);  // what is moved before and after products of rows
Result<bool> hoist_reshape(Graph& graph, Node* node);
Result<bool> unflatten_batches(Graph& graph, Node* node);
Result<bool> hoist_transpose(Graph& graph, Node* node);
Result<bool> simplify_math(Graph& graph, Node* node);       // x*1, x+0, pow(x, 2), … of element-wise ops
Result<bool> simplify_broadcast(Graph& graph, Node* node);  // expands before element-wise ops
Result<bool> simplify_repeats(Graph& graph, Node* node);    // element-wise ops on one value, repeated
Result<bool> simplify_ranges(Graph& graph, Node* node);     // arithmetic and comparisons of ranges

}  // namespace headrace::passes
