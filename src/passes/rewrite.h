// What passes share: questions about values, and the replacing of nodes.
//
// A pass walks a snapshot of the nodes in order and erases only the node it looks at and producers that
// became unused, which come earlier; so the rest of the snapshot stays valid.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/shape.h"
#include "ir/graph.h"
#include "passes/passes.h"

namespace headrace::passes {

using ir::Graph;
using ir::Node;
using ir::Value;

// --- Questions. All take nullptr, and then say no.
// The node that makes `value` where it is of that op; else nullptr.
Node* producer(const Value* value, std::string_view op);
bool is_pointwise(const Node& node);
bool only_use(const Value* value);     // one use, and that by a node
bool is_constant(const Value* value);  // a literal, a weight or weight-only: known when the engine is built
// The number that each element is, seen through fill, expand, reshape, slice, transpose and literals.
std::optional<double> uniform(const Value* value);
bool is_uniform(const Value* value, double number);
bool is_one(const Dim& dim);
bool is_static(const Value& value);
// Pads with leading 1s, to `rank`.
Shape padded(const Shape& shape, size_t rank);
bool broadcasts_to(const Shape& from, const Shape& to);

// The two operands of a node whose order is free, the one for which `is` answers yes first.
template <class Is>
std::optional<std::pair<Value*, Value*>> either_order(const Node& node, Is is) {
  Value *a = node.input(0), *b = node.input(1);
  if (is(a)) return std::pair{a, b};
  if (is(b)) return std::pair{b, a};
  return std::nullopt;
}

// The whole of `shape` is `data` cut along one axis by 0, 1, 2, …: element = start + index along `axis`.
struct Ramp {
  int64_t from_end = 0;  // the axis, counted from the last: 0 is the last
  Dim start;
  Dim count;
};
// Of integers; seen through at most `depth` nodes.
std::optional<Ramp> ramp(const Value* value, int depth = 16);

// --- Literals.
inline constexpr int64_t kLiteralLimit = 64 * 1024;                           // bytes
std::vector<std::byte> encode(DType dtype, std::span<const double> numbers);  // ints are saturated
Value* add_scalar(Graph& graph, std::string name, DType dtype, double number);

// --- Changes.
std::vector<Node*> snapshot(const Graph& graph);
// Erases `node` where nothing uses it, then producers that were used by it alone.
void erase_dead(Graph& graph, Node* node);
// `by` takes the place of node's only output; `node` goes, with producers that are now unused.
void replace(Graph& graph, Node* node, Value* by);
// A new node in the place of `node`, under its name.
Result<Value*> replace_with(Graph& graph, Node* node, std::string_view op, std::vector<Value*> inputs,
                            AttributeMap attributes = {});
// True where a replacement was made, or its error: how a rule ends.
inline Result<bool> replaced(const Result<Value*>& by) {
  if (!by.ok()) return by.status();
  return true;
}
// `name` without the suffixes that tell values of one name apart ("q.1.2" -> "q"): for values in between.
std::string stem(const std::string& name);
void merge_sources(Node* into, const Node& from);
// Moves the producers that `value` needs before `position`. REQUIRES: is_constant(value).
void hoist(Graph& graph, Value* value, Node* position);

inline AttributeMap shape_attribute(Shape shape) { return {{"shape", std::move(shape)}}; }
inline AttributeMap perm_attribute(std::vector<int64_t> perm) { return {{"perm", std::move(perm)}}; }
inline AttributeMap dtype_attribute(DType dtype) { return {{"dtype", dtype}}; }
inline AttributeMap axis_attribute(int64_t axis) { return {{"axis", axis}}; }
inline AttributeMap slice_attributes(int64_t axis, const Dim& start, const Dim& stop) {
  return {{"axis", axis}, {"start", start}, {"stop", stop}};
}
bool swaps_last_two(const std::vector<int64_t>& perm);
std::vector<int64_t> swap_last_two(int64_t rank);  // the perm

// A chain of helpers for building constants: an op on `inputs`, before `position`, under a name made from
// `base`.
struct Builder {
  Graph& graph;
  Node* position;
  std::string base;
  Result<Value*> operator()(std::string_view op, std::vector<Value*> inputs,
                            AttributeMap attributes = {}) const {
    return graph.add(op, std::move(inputs), std::move(attributes), base, position);
  }
  Result<Value*> cast(Value* value, DType dtype) const;  // value itself where it has the dtype
  Result<Value*> reshape(Value* value, const Shape& shape) const;
};

}  // namespace headrace::passes
