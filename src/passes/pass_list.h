// The passes, one file each. What a pass does is written at its row of the table in passes.cpp and in its
// file.
#pragma once

#include "passes/passes.h"

namespace headrace::passes {

Result<bool> eliminate_dead_code(ir::Graph& graph, const PassContext& context);
Result<bool> fold_constants(ir::Graph& graph, const PassContext& context);
Result<bool> common_subexpressions(ir::Graph& graph, const PassContext& context);
Result<bool> simplify(ir::Graph& graph, const PassContext& context);
Result<bool> canonical_matmul(ir::Graph& graph, const PassContext& context);
Result<bool> fold_batch_norm(ir::Graph& graph, const PassContext& context);
Result<bool> fuse_rotary(ir::Graph& graph, const PassContext& context);
Result<bool> fuse_norm(ir::Graph& graph, const PassContext& context);
Result<bool> fuse_activation(ir::Graph& graph, const PassContext& context);
Result<bool> fuse_attention(ir::Graph& graph, const PassContext& context);
Result<bool> precision(ir::Graph& graph, const PassContext& context);
Result<bool> layout(ir::Graph& graph, const PassContext& context);
Result<bool> join_matmuls(ir::Graph& graph, const PassContext& context);
Result<bool> join_rotary(ir::Graph& graph, const PassContext& context);
Result<bool> fuse_epilogues(ir::Graph& graph, const PassContext& context);
Result<bool> fuse_pointwise(ir::Graph& graph, const PassContext& context);

}  // namespace headrace::passes
