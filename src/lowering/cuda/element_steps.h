// Steps that make each element of their results from elements at the same place, or at a place that indices
// say. One function an op, or a few.
#pragma once

#include <optional>

#include "core/pointwise.h"
#include "ir/graph.h"
#include "lowering/cuda/step_writer.h"

namespace headrace::cuda {

Status write_pointwise(StepWriter& writer, const ir::Node& node);  // a function or a program
Status write_batch_norm(StepWriter& writer, const ir::Node& node);
Status write_rotary(StepWriter& writer, const ir::Node& node);
Status write_fill(StepWriter& writer, const ir::Node& node);  // fill, dim_value, iota
Status write_gather(StepWriter& writer, const ir::Node& node);
Status write_gather_elements(StepWriter& writer, const ir::Node& node);
Status write_index(StepWriter& writer, const ir::Node& node);
// One unary function of elements; `to` may be `from`.
StepWriter::Step function_step(StepWriter& writer, Pointwise function, TensorIndex from, TensorIndex to);
void write_function(StepWriter& writer, const ir::Node& node, Pointwise function, TensorIndex from,
                    TensorIndex to);
// What ends a product beside it: function(from + bias + residual), where they are.
struct Ending {
  TensorIndex bias = kNone;  // along the last dimension
  TensorIndex residual = kNone;
  std::optional<Pointwise> function;

  bool empty() const { return bias == kNone && residual == kNone && !function; }
};
// `to` may be `from`; `from` may be f32 where `to` is of 16 bits, and is rounded once then.
void write_ending(StepWriter& writer, const ir::Node& node, const Ending& ending, TensorIndex from,
                  TensorIndex to);
// Copies elements of one shape and dtype, whatever the strides.
void write_copy(StepWriter& writer, const ir::Node& node, TensorIndex from, TensorIndex to);

}  // namespace headrace::cuda
