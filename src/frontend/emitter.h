// Emitter: appends the nodes that one call becomes. Every value parameter also takes the Result of another
// emission, so formulas nest, and the first failure is the result of the whole.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "frontend/call.h"
#include "ir/graph.h"

namespace headrace::frontend {

using ir::Value;
using Emitted = Result<ir::Value*>;

class Input {
 public:
  Input(Value* value) : value_(value) {}             // NOLINT: implicit, so that formulas nest
  Input(const Emitted& emitted) : value_(nullptr) {  // NOLINT
    if (emitted.ok()) {
      value_ = *emitted;
    } else {
      status_ = emitted.status();
    }
  }
  const Status& status() const { return status_; }
  Value* value() const { return value_; }  // nullptr: absent

 private:
  Value* value_;
  Status status_;
};

// A Python number: a bool, a float or a (perhaps symbolic) int.
using Scalar = std::variant<Dim, double, bool>;
DType dtype_of(const Scalar& scalar);                     // PyTorch's default for it: i64, f32 or bool
std::optional<double> constant_of(const Scalar& scalar);  // nullopt for a symbolic int

class Emitter {
 public:
  Emitter(ir::Graph& graph, ir::SourceNote source) : graph_(graph), source_(std::move(source)) {}

  Emitted add(std::string_view op, std::initializer_list<Input> inputs, AttributeMap attributes = {});
  Emitted add_list(std::string_view op, std::vector<Value*> inputs, AttributeMap attributes = {});

  // Each gives the value itself where it is as wanted already.
  Emitted cast(Input value, DType dtype);
  Emitted reshape(Input value, Shape shape);
  Emitted expand(Input value, Shape shape);
  Emitted transpose(Input value, std::vector<int64_t> perm);
  Emitted slice(Input value, int64_t axis, Dim start, Dim stop, int64_t step = 1);
  // Dims of size 1 put at `axes` of the result, or taken away; negative axes are not counted from the end.
  Emitted unsqueeze(Input value, int64_t axis);
  Emitted squeeze(Input value, int64_t axis);

  Emitted reduce(std::string_view kind, Input value, std::vector<int64_t> axes, bool keepdim);
  Emitted concat(std::vector<Value*> values, int64_t axis);
  Emitted iota(Dim start, Dim count, int64_t step = 1);
  Emitted number(DType dtype, const Scalar& scalar);  // rank 0
  Emitted full(Shape shape, DType dtype, const Scalar& scalar);
  Value* literal(DType dtype, double value);            // rank 0
  Value* int_list(const std::vector<int64_t>& values);  // a literal: i64, rank 1

  const ir::SourceNote& source() const { return source_; }
  ir::Graph& graph() { return graph_; }

 private:
  ir::Graph& graph_;
  ir::SourceNote source_;
};

}  // namespace headrace::frontend
