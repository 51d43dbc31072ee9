// The parts of model.json that the graph's own rules tie together.
#pragma once

#include "frontend/program_values.h"

namespace headrace::frontend {

// nodes, tensors and sym_ints.
void read_graph(const Json& graph, ProgramReader& reader, ExportedProgram& program);
// inputs and outputs. `graph_inputs` holds the graph's own list, which must match the signature's.
void read_signature(const Json& signature, const Json& graph_inputs, ProgramReader& reader,
                    ExportedProgram& program);
// Symbols of the expressions read so far, with the ranges of range_constraints and the example's sizes.
void read_symbols(const Json& ranges, ProgramReader& reader, ExportedProgram& program);
// "model.py:41" of a stack trace's innermost frame outside torch; empty where there is none.
std::string location_of(std::string_view stack_trace);

// Every name that a node or an output uses is an input's or an earlier node's, made once, and every tensor
// used is described.
Status check_names(const ExportedProgram& program);

}  // namespace headrace::frontend
