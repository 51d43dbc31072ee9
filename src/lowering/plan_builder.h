// PlanBuilder: makes a Plan from a graph, piece by piece; what every lowering shares.
//
// A lowering walks the graph's nodes and, for each node that is not build-time (see is_build_time), asks for
// the tensors of its inputs and outputs and adds steps; or gives the node's value a place in a tensor that
// exists (a view, a window of a concatenation). finish() adds the outputs, computes the lifetimes of arena
// buffers, drops what nothing uses and orders weights by first use.
//
// Where a value lies, unless place() says otherwise: an input, literal or state in its own buffer; a weight,
// or the end of a weight-only subgraph, in a stored weight (made from a recipe); a graph output in the
// kOutput buffer of its first output; any other result in an arena buffer of its own. All of these are
// row-major.
//
// Lifetime: borrows the graph. Threads: one at a time.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>
#include "engine/plan.h"
#include "ir/graph.h"

namespace headrace {

class PlanBuilder {
 public:
  PlanBuilder(const ir::Graph& graph, std::string backend, std::string fingerprint);

  const ir::Graph& graph() const { return graph_; }
  const Plan& plan() const { return plan_; }

  // --- What needs no step.
  // True for nodes that recipes evaluate at build time: weight-only, every shape constant.
  bool is_build_time(const ir::Node& node) const;
  bool is_build_time(const ir::Value& value) const;  // true for weights themselves

  // --- Tensors.
  // Where `value` lies; kNone for nullptr (an absent operand). Made on first use.
  // Errors: kUnsupported where a weight-only node cannot be written as a recipe.
  Result<TensorIndex> tensor(const ir::Value* value);
  Result<std::vector<TensorIndex>> tensors(const std::vector<ir::Value*>& values);
  bool has_tensor(const ir::Value* value) const { return tensors_.contains(value); }
  // From now on `value` lies there. REQUIRES: !has_tensor(value); the tensor has its dtype and shape.
  void place(const ir::Value* value, TensorIndex tensor);
  // A row-major tensor in an arena buffer of its own.
  TensorIndex add_arena_tensor(DType dtype, Shape shape);
  const PlanTensor& at(TensorIndex tensor) const { return plan_.tensors[static_cast<size_t>(tensor)]; }
  bool is_row_major(TensorIndex tensor) const;

  // --- Views: other tensors in the buffer of `base`.
  TensorIndex add_view(TensorIndex base, Shape shape, Shape strides, Dim offset);
  // nullopt where no strides describe it, or none that can be proven for every binding of the symbols.
  std::optional<TensorIndex> reshape_view(TensorIndex base, const Shape& shape);
  TensorIndex transpose_view(TensorIndex base, std::span<const int64_t> perm);
  TensorIndex slice_view(TensorIndex base, int64_t axis, const Dim& start, const Dim& size, int64_t step = 1);
  TensorIndex expand_view(TensorIndex base, const Shape& shape);
  // The windows of a concat's output tensor, one an input: place a value there before its producer is
  // lowered, or copy it there. Walk the graph's concats from the last to the first, so that windows of
  // windows come out.
  Result<std::vector<TensorIndex>> concat_windows(const ir::Node& concat);
  // Places the output of a reshape, transpose, slice or expand as a view of its input and returns true; false
  // (nothing placed) for other nodes and for reshapes that need a copy. The output of the graph may be such a
  // view: the runtime then copies it, unless it lies in that output's own buffer already.
  Result<bool> place_view(const ir::Node& node);
  // Lets the producer of x write straight into the graph output that is reshape(x), also through several
  // reshapes. Call before any tensor is asked for, in a lowering that lowers reshapes by place_view.
  void write_outputs_through_reshapes();

  // --- Steps.
  StepIndex add_step(std::string kernel, const ir::Node& node, std::vector<TensorIndex> inputs,
                     std::vector<TensorIndex> outputs, AttributeMap attributes = {});
  // The step that is the node: kernel, attributes, inputs and outputs are the node's own.
  Result<StepIndex> add_step(const ir::Node& node);

  // --- Weights.
  // The weight that `value` is, plain, not yet in the plan. REQUIRES: is_build_time(value).
  Result<Weight> draft_weight(const ir::Value& value);
  // Adds a weight, or finds the one of the same recipe and use. The index is final only after finish().
  int32_t add_weight(Weight weight);
  // A tensor over the whole weight: dtype and shape are the weight's; of bytes (u8 [stored]) where its recipe
  // ends in kPack.
  TensorIndex weight_tensor(int32_t weight);
  Result<Plan> finish();

 private:
  struct Draft;                                              // a recipe under construction
  enum class Source : uint8_t { kRun, kConstant, kWeight };  // computed at run time; of literals; of weights
  Source source_of(const ir::Value& value) const;
  void find_sources();

  BufferIndex add_buffer(BufferKind kind, Dim size, int32_t index = kNone);
  TensorIndex add_row_major(DType dtype, Shape shape, BufferIndex buffer);
  Result<TensorIndex> make_tensor(const ir::Value& value);
  TensorIndex make_result(const ir::Value& value);

  Status draft_value(const ir::Value& value, Draft& draft);
  Status draft_node(const ir::Value& value, Draft& draft);
  Status draft_eval(const ir::Value& value, Draft& draft);
  void draft_literal(const ir::Value& value, Draft& draft);
  bool draft_strided(const ir::Value& value, Draft& draft);
  int32_t add_source(const ir::Value& weight);
  std::string weight_name(const Draft& draft) const;

  void add_signature();
  Status add_outputs();
  void order_weights();
  void compact();
  void set_lifetimes();

  const ir::Graph& graph_;
  Plan plan_;
  std::map<const ir::Node*, Source> sources_;  // of nodes that are not kRun
  std::map<const ir::Value*, TensorIndex> tensors_;
  std::map<const ir::Value*, int32_t> output_of_;    // the graph output in whose buffer it is written
  std::map<const ir::Value*, int32_t> input_index_;  // into the plan's inputs
  std::map<int32_t, BufferIndex> weight_buffers_;
  std::map<std::string, int32_t> source_index_;  // by text
};

// Size of the elements, without gaps.
Dim byte_size(DType dtype, std::span<const Dim> shape);

// --- Changes to a drafted weight.
// Keeps rows [begin, end) of the first axis. REQUIRES: plain (no kPack yet).
void take_rows(Weight& weight, int64_t begin, int64_t end);
// Ends the recipe in a kernel's own layout; `stored` is what the packer's packed_size says.
void pack(Weight& weight, AttributeMap attributes, Bytes stored);

}  // namespace headrace
