#include <algorithm>

#include "frontend/overload.h"

namespace headrace::frontend {
namespace {

// Some bindings that the symbols' ranges allow, with no two symbols equal for long.
std::vector<DimBindings> samples(const std::vector<Symbol>& symbols) {
  std::vector<DimBindings> all;
  for (int64_t round = 0; round < 5; ++round) {
    DimBindings bindings;
    int64_t next = 0;
    for (const Symbol& symbol : symbols) {
      const int64_t wanted = round == 0 ? symbol.opt : symbol.min + (round - 1) * (3 + 2 * next++);
      bindings[symbol.name] = std::clamp(wanted, symbol.min, symbol.max);
    }
    all.push_back(std::move(bindings));
  }
  return all;
}

// Whether the shapes agree for all of the samples; shapes may be written in different ways.
bool agree(const Shape& a, const Shape& b, const std::vector<Symbol>& symbols) {
  if (a.size() != b.size()) return false;
  if (a == b) return true;
  for (const DimBindings& bindings : samples(symbols)) {
    const Result<Sizes> left = evaluate(std::span<const Dim>(a), bindings);
    const Result<Sizes> right = evaluate(std::span<const Dim>(b), bindings);
    if (left.ok() && right.ok() && *left != *right) return false;
  }
  return true;
}

Emitted checked(OpCall& c, Value* value, const Call& call, size_t index) {
  const ir::Type& wanted = call.outputs[index].type;
  if (call.in_place) {
    HR_ASSIGN(value, c.expand(c.cast(value, wanted.dtype), wanted.shape));
  }
  if (value->dtype() != wanted.dtype || !agree(value->shape(), wanted.shape, c.graph().symbols)) {
    return internal_error("result {} is {}, but PyTorch says {}", index, to_text(value->type()),
                          to_text(wanted));
  }
  if (value->shape() == wanted.shape) return value;
  // The same sizes in PyTorch's words, which the nodes that follow use.
  const Emitted reworded = c.reshape(value, wanted.shape);
  return reworded.ok() ? reworded : Emitted(value);
}

Result<std::vector<Value*>> emitted(OpCall& c, const Overload& overload) {
  if (overload.many) return overload.many(c);
  HR_ASSIGN(Value * value, overload.one(c));
  return std::vector<Value*>{value};
}

}  // namespace

Result<std::vector<Value*>> lower_call(const Call& call, const TableRow& row, ir::Graph& graph) {
  HR_ASSIGN(std::vector<CallArgument> arguments, bind_arguments(row.schema, call));
  OpCall c(call, row.schema, std::move(arguments), graph);
  Result<std::vector<Value*>> values = emitted(c, *row.overload);
  // The program is PyTorch's and well formed: what breaks a rule of the IR is a case that the IR lacks.
  if (!values.ok() && values.status().code() == Code::kInvalidArgument)
    return Status(Code::kUnsupported, values.status().message());
  if (!values.ok()) return values;
  if (values->size() != call.outputs.size())
    return internal_error("it has {} results, but PyTorch says {}", values->size(), call.outputs.size());
  for (size_t i = 0; i < values->size(); ++i) {
    if (!(*values)[i]) continue;
    HR_ASSIGN((*values)[i], checked(c, (*values)[i], call, i));
  }
  return values;
}

}  // namespace headrace::frontend
