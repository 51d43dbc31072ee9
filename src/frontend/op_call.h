// OpCall: what a row of the lowering table sees of a call: its arguments by name and type, what PyTorch says
// of its outputs, and an Emitter for the nodes that it becomes.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "frontend/emitter.h"
#include "frontend/schema.h"

namespace headrace::frontend {

// A tensor, or a Python number where a tensor is declared: they differ in type promotion.
struct Operand {
  Value* tensor = nullptr;
  Scalar scalar = Dim(0);  // where there is no tensor
};

class OpCall : public Emitter {
 public:
  OpCall(const Call& call, const Schema& schema, std::vector<CallArgument> arguments, ir::Graph& graph)
      : Emitter(graph, call.source), call_(call), schema_(schema), arguments_(std::move(arguments)) {}

  // --- Arguments. REQUIRES: the schema has `name`, of that type; bind_arguments saw to the rest.
  bool has(std::string_view name) const;  // not None
  // A number becomes a literal (of rank 0).
  Emitted tensor(std::string_view name);
  Value* optional_tensor(std::string_view name) const;       // nullptr for None
  std::vector<Value*> tensors(std::string_view name) const;  // nullptr for None
  Operand operand(std::string_view name) const;              // also of a Scalar
  Scalar scalar(std::string_view name) const { return operand(name).scalar; }
  Dim dim(std::string_view name) const;
  std::vector<Dim> dims(std::string_view name) const;  // empty for None
  double real(std::string_view name) const;
  std::vector<double> reals(std::string_view name) const;
  bool flag(std::string_view name) const;
  std::string text(std::string_view name) const;
  std::optional<DType> dtype(std::string_view name) const;
  // Errors: kUnsupported where a symbolic int is in them.
  Result<int64_t> integer(std::string_view name) const;
  Result<std::vector<int64_t>> integers(std::string_view name) const;
  Result<double> constant(std::string_view name) const;  // of a Scalar
  // An axis, or axes (all where none are given), counted from 0 and in range.
  Result<int64_t> axis(std::string_view name, int64_t rank) const;
  Result<std::vector<int64_t>> axes(std::string_view name, int64_t rank) const;

  // --- Outputs, as PyTorch says they are.
  size_t outputs() const { return call_.outputs.size(); }
  const ir::Type& result(size_t index = 0) const { return call_.outputs[index].type; }
  const Shape& shape(size_t index = 0) const { return result(index).shape; }
  bool row_major() const { return call_.row_major; }
  bool used(size_t index) const { return index < call_.outputs.size() && call_.outputs[index].used; }

 private:
  const CallArgument& argument(std::string_view name) const;
  const Call& call_;
  const Schema& schema_;
  std::vector<CallArgument> arguments_;
};

// `axis` counted from 0. Errors: kUnsupported where it is out of range. A rank of 0 counts as 1.
Result<int64_t> normal_axis(int64_t axis, int64_t rank);

}  // namespace headrace::frontend
