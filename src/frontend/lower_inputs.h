// The values that a program starts from: weights, literals and the user's inputs.
#pragma once

#include <map>
#include <string>

#include "frontend/frontend.h"

namespace headrace::frontend {

using ValuesByName = std::map<std::string, ir::Value*, std::less<>>;

// Adds them to `graph`, whose symbols are set, and to `values` by their name in the program.
// Errors: kUnsupported (an input of a type that there is none of), kCorrupt, and what `read` gives.
Status lower_inputs(const ExportedProgram& program, const StorageReader& read, ir::Graph& graph,
                    ValuesByName& values);

// An argument as JSON text: "null", "3.0", "\"mean\"".
std::string json_text(const Argument& argument);

}  // namespace headrace::frontend
