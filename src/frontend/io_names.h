// Names of a program's inputs and outputs, as its user knows them.
#pragma once

#include <string>
#include <vector>

#include "frontend/exported_program.h"

namespace headrace::frontend {

// One a user input (constants among them), in order: forward's argument, with the path inside a nested one:
// "input_ids", "past[0].key". Empty where in_spec does not tell.
std::vector<std::string> input_names(const ExportedProgram& program);
// One a user output: the keys where the result has keys ("logits"), else "output", "output_1", …
std::vector<std::string> output_names(const ExportedProgram& program);

}  // namespace headrace::frontend
