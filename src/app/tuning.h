// What an engine is told about choices that need its device.
#pragma once

#include <memory>

#include <headrace/headrace.h>
#include "kernels/tuning.h"

namespace headrace::app {

// Errors: kInvalidArgument (a time that is none).
Result<std::shared_ptr<Tuning>> make_tuning(const OpenOptions& options, bool on_gpu);

}  // namespace headrace::app
