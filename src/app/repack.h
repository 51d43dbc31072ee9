// Engines that were made for another ISA or another version of a library: packed again from their model.
#pragma once

#include <headrace/headrace.h>
#include "app/backends.h"
#include "engine/engine_file.h"

namespace headrace::app {

// Makes the engine of `file` again for this machine, from options.model or the archive beside it (the
// engine's name with .pt2), puts it in the place of the old one, and opens it. The archive is the right one
// where its directory says of every storage what the engine says. Of several processes that come at once, one
// does the work and the others wait. REQUIRES: here.packer. Errors: kIncompatible with both fingerprints, the
// archive looked for and the ways out; kExhausted and kUnavailable of writing. The old engine stays as it was
// then.
Result<EngineFile> repack_engine(EngineFile file, const RunBackend& here, const OpenOptions& options);

}  // namespace headrace::app
