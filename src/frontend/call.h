// Call: one call of a PyTorch op, as any reader hands it to the lowering table: the archive's today, live FX
// nodes' later. Its tensors are values of the graph under construction, its symbolic ints are Dims.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "frontend/exported_program.h"
#include "ir/graph.h"

namespace headrace::frontend {

// monostate is None. An entry of a tensor list may be nullptr: None.
using CallArgument =
    std::variant<std::monostate, ir::Value*, std::vector<ir::Value*>, Dim, double, bool, std::string, DType,
                 std::vector<Dim>, std::vector<double>, std::vector<bool>, NamedConstant>;

// What PyTorch says an output is; a list's entries are outputs of their own.
struct CallOutput {
  ir::Type type;
  bool used = true;  // an output that nothing uses need not be lowered
};

struct Call {
  std::string target;  // "aten.add.Tensor"
  ir::SourceNote source;
  std::vector<std::pair<std::string, CallArgument>> arguments;  // by the schema's names; defaults left out
  std::vector<CallOutput> outputs;
  // Whether the first tensor's elements lie in memory one after the other: what as_strided sees.
  bool row_major = true;
  // The result takes the declared type even where promotion says otherwise: x.add_(y) keeps x's.
  bool in_place = false;
};

}  // namespace headrace::frontend
