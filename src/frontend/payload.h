// The saved tensors of an archive: data/weights and data/constants.
#pragma once

#include "frontend/frontend.h"
#include "frontend/program_values.h"

namespace headrace::frontend {

// A payload config ("{"config": {"l.weight": {…}}}"); `folder` is "data/weights/" or "data/constants/".
void read_payloads(const Json& config, std::string_view folder, ProgramReader& reader,
                   std::map<std::string, PayloadEntry, std::less<>>& payloads);

// The saved tensor of an input; nullptr where the input is none or nothing is saved for it.
const PayloadEntry* payload_of(const ExportedProgram& program, const InputSpecEntry& input);

// Every parameter, buffer and constant that is used has a saved tensor of a kind that can be read.
Status check_payloads(const ExportedProgram& program);
// Its storage is in the archive and has all of its bytes.
Status check_storage(const ExportedProgram& program, const Archive& archive);

}  // namespace headrace::frontend
