// The conditions on input sizes that torch.export found while tracing: Python text, "L['x'].size()[0] <=
// 512".
#pragma once

#include <string>
#include <vector>

#include "frontend/exported_program.h"
#include "ir/graph.h"

namespace headrace::frontend {

struct GuardReport {
  std::vector<ir::Guard> guards;            // those that the shapes do not already say
  std::vector<std::string> not_understood;  // as written; nothing checks them
};

// Reads comparisons (also chained, joined by "and", or after "not") of sums, products, //, %, min and max
// over ints, input sizes and int inputs. An input in a tuple, dict or dataclass is found by torch.export's
// own rule for names, L['d']['a'] being "d_a". A guard that the example's sizes break was not read as it was
// meant: not understood.
GuardReport parse_guards(const ExportedProgram& program);

}  // namespace headrace::frontend
