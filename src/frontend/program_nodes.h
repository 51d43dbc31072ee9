// The nodes of model.json's graph.
#pragma once

#include "frontend/program_values.h"

namespace headrace::frontend {

// Appends the nodes of a list. A graph that is nested only to run without gradients is written in the place
// of its node, its tensors and numbers added to the program's. REQUIRES: those of the graph itself are read.
void read_nodes(const Json& nodes, ProgramReader& reader, ExportedProgram& program);

}  // namespace headrace::frontend
