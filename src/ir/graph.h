// Graph: the SSA form that front ends make, passes change and lowerings read.
//
// A graph owns its values and nodes; pointers stay valid until the value or node is erased. Nodes are in
// execution order. A value is an input, a weight (a reference, its bytes are nowhere in the graph), a literal
// (a small constant whose bytes passes may read), a state, or an output of a node. Optional inputs of a node
// that are absent are nullptr.
//
// Weights are never computed on in the graph, but nodes may take weights alone (cast, transpose, concat, …):
// such a weight-only node is a recipe in the making, and the lowering turns it into one.
//
// Threads: none of its own; a graph is used by one thread at a time.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/attributes.h"
#include "core/dim.h"
#include "ir/op.h"

namespace headrace::ir {

// Where a weight's bytes are: elements of `storage`, as PyTorch's as_strided sees them. Two weights with the
// same storage, offset, sizes and strides are tied.
struct WeightSource {
  std::string storage;  // unique name of one contiguous run of bytes at the source ("data/weights/weight_3")
  int64_t offset = 0;   // in elements
  Sizes strides;        // in elements
  bool operator==(const WeightSource&) const = default;
};

// Where a node came from: "linear_3 (model.py:41)". In no key and no engine; only messages show it.
struct SourceNote {
  std::string name;
  std::string location;  // "model.py:41", or empty
};

enum class ValueKind : uint8_t { kInput, kWeight, kLiteral, kState, kResult };

class Value {
 public:
  ValueKind kind() const { return kind_; }
  const std::string& name() const {
    return name_;
  }  // unique in the graph; printed as %name, @name for weights
  const Type& type() const { return type_; }
  DType dtype() const { return type_.dtype; }
  const Shape& shape() const { return type_.shape; }
  int64_t rank() const { return static_cast<int64_t>(type_.shape.size()); }

  Node* producer() const { return producer_; }  // nullptr unless kResult
  int output_index() const { return output_index_; }
  const std::vector<Node*>& users() const { return users_; }  // one entry a use; a node may be there twice
  bool is_graph_output() const;

  const WeightSource& weight() const { return weight_; }  // REQUIRES: kWeight
  const std::vector<std::byte>& literal() const {
    return literal_;
  }  // REQUIRES: kLiteral; row-major, little-endian

 private:
  friend class Graph;
  friend class Node;
  ValueKind kind_ = ValueKind::kResult;
  std::string name_;
  Type type_;
  Node* producer_ = nullptr;
  int output_index_ = 0;
  std::vector<Node*> users_;
  WeightSource weight_;
  std::vector<std::byte> literal_;
  class Graph* graph_ = nullptr;
};

class Node {
 public:
  Op op() const { return op_; }
  const std::string& name() const { return name_; }  // the front end's name for it; for messages
  const std::vector<Value*>& inputs() const { return inputs_; }
  Value* input(size_t index) const {
    return index < inputs_.size() ? inputs_[index] : nullptr;
  }  // nullptr: absent
  const std::vector<Value*>& outputs() const { return outputs_; }
  Value* output(size_t index = 0) const { return outputs_[index]; }
  const AttributeMap& attributes() const { return attributes_; }
  AttributeMap& attributes() { return attributes_; }  // call Graph::reinfer after a change that affects types
  const std::vector<SourceNote>& sources() const { return sources_; }
  std::vector<SourceNote>& sources() { return sources_; }
  bool is(std::string_view op_name) const { return op_->name == op_name; }

 private:
  friend class Graph;
  Op op_ = nullptr;
  std::string name_;
  std::vector<Value*> inputs_;
  std::vector<Value*> outputs_;
  AttributeMap attributes_;
  std::vector<SourceNote> sources_;
  std::list<std::unique_ptr<Node>>::iterator position_;
};

// A condition on symbols that a run's shapes must meet ("s0 * 2 <= 512").
struct Guard {
  enum class Relation : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe };
  Dim left, right;
  Relation relation = Relation::kEq;
  bool operator==(const Guard&) const = default;
};

// One output of the graph: a value, a number known from shapes (symbolic ints), or None.
struct GraphOutput {
  Value* value = nullptr;
  std::optional<Dim> number;  // set: a Python int
  std::string name;
};

// One input as the user passes it: a tensor, a number that binds a symbol, or a constant that is baked in.
struct GraphInput {
  enum class Kind : uint8_t { kTensor, kNumber, kConstant };
  Kind kind = Kind::kTensor;
  std::string name;
  Value* value = nullptr;  // kTensor
  std::string symbol;      // kNumber: the symbol that it binds
  std::string constant;    // kConstant: what was baked in, as JSON text ("null", "3.0", "\"mean\"")
};

class Graph {
 public:
  Graph();
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  Graph clone() const;

  // --- Values. A name that is taken gets a suffix (".1", ".2", …).
  Value* add_input(std::string name, Type type);  // a tensor input; also appended to inputs()
  void add_number_input(std::string name, std::string symbol);
  void add_constant_input(std::string name, std::string json);
  Value* add_weight(std::string name, Type type, WeightSource source);  // static shape
  Value* add_literal(std::string name, Type type, std::vector<std::byte> bytes);
  template <class T>
  Value* add_scalar(std::string name, DType dtype, T value);  // a literal of rank 0
  Value* add_state(std::string name, Type type);

  // --- Nodes. Types are inferred; an error leaves the graph as it was.
  // Appends, or inserts before `before`. `name` names the node and, where it has one output, that output.
  Result<Node*> add(Op op, std::vector<Value*> inputs, AttributeMap attributes = {}, std::string name = "",
                    Node* before = nullptr);
  // The same, for the one output. Errors also where `op_name` is no op.
  Result<Value*> add(std::string_view op_name, std::vector<Value*> inputs, AttributeMap attributes = {},
                     std::string name = "", Node* before = nullptr);
  Status reinfer(Node* node);  // types again, after a change of inputs or attributes; does not go on to users
  void set_input(Node* node, size_t index, Value* value);
  void set_inputs(Node* node, std::vector<Value*> values);
  void replace_uses(Value* from, Value* to);  // in nodes and outputs
  void erase(Node* node);                     // REQUIRES: its outputs have no users and are no graph outputs
  void erase_value(Value* value);             // REQUIRES: unused, and no node's output
  void rename(Value* value, std::string name);
  void move_before(Node* node, Node* position);
  bool precedes(const Node* a, const Node* b) const;  // linear in the distance

  std::list<std::unique_ptr<Node>>& nodes() { return nodes_; }
  const std::list<std::unique_ptr<Node>>& nodes() const { return nodes_; }
  const std::vector<GraphInput>& inputs() const { return inputs_; }
  std::vector<Value*> weights() const;  // in order of creation
  std::vector<Value*> literals() const;
  std::vector<Value*> states() const;
  Value* find(std::string_view name) const;  // nullptr where absent

  const std::vector<GraphOutput>& outputs() const { return outputs_; }
  void add_output(Value* value, std::string name);
  void add_number_output(Dim number, std::string name);
  void add_none_output(std::string name);
  void set_output(size_t index, Value* value);

  std::vector<Symbol> symbols;  // with their profile; by name
  std::vector<Guard> guards;
  std::string in_spec;  // torch.utils pytree text of (args, kwargs) and of the result; empty where unknown
  std::string out_spec;

 private:
  Value* new_value(ValueKind kind, std::string name, Type type);
  std::list<std::unique_ptr<Node>> nodes_;
  std::list<std::unique_ptr<Value>> values_;
  std::map<std::string, Value*, std::less<>> by_name_;
  std::map<std::string, int, std::less<>> name_suffix_;
  std::vector<GraphInput> inputs_;
  std::vector<GraphOutput> outputs_;
};

// True where every input that is present is a weight or a literal, or itself comes from such nodes, and one
// at least is a weight: the node is evaluated at build time, as a recipe.
bool is_weight_only(const Node& node);
bool is_weight_only(const Value& value);

// The numbers of a literal, widened; nullopt where the value is no literal. f16 and bf16 included.
std::optional<std::vector<double>> literal_numbers(const Value& value);
std::optional<double> literal_scalar(const Value& value);  // nullopt unless it is a literal of one element

// Checks what no single op can: SSA order, uses, names, types that agree with inference, literal sizes,
// symbols declared.
Status verify(const Graph& graph);

// The text form; parse(print(g)) prints the same. docs/ir.md has its grammar.
std::string print(const Graph& graph);
Result<Graph> parse(std::string_view text);

}  // namespace headrace::ir
