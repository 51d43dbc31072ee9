// The walk over a program's nodes: each becomes a Call and goes through the lowering table.
#pragma once

#include <vector>

#include "frontend/lower_inputs.h"

namespace headrace::frontend {

// Appends the nodes to `graph`, whose symbols and inputs are there, and puts what they make into `values`, by
// the program's names. Gives the conditions on sizes that the program asserts.
// Errors: kUnsupported, with all that cannot be lowered; kCorrupt and kInternal, naming the node.
Result<std::vector<ir::Guard>> lower_nodes(const ExportedProgram& program, ir::Graph& graph,
                                           ValuesByName& values);

// The Dim of a symbolic int. Errors: kUnsupported where the number is no int.
Result<Dim> number_of(const ExportedProgram& program, const std::string& name);

}  // namespace headrace::frontend
