// The back ends that live in libraries of their own, opened when their device is asked for: the same
// installation works on machines without a driver or a toolkit.
#pragma once

#include <memory>

#include <headrace/status.h>
#include "kernels/plugin.h"
#include "lowering/plugin.h"

namespace headrace::app {

// Opened once, and kept for the life of the process. Errors: kUnavailable: there is no such library, it
// cannot be loaded (with the loader's reason) or it is of another build.
Result<const RunPlugin*> cuda_run_plugin();
Result<const BuildPlugin*> cuda_build_plugin();

// The device that all engines of the process share, so that its bytes are counted in one place.
Result<std::shared_ptr<Device>> cuda_device(int index);

}  // namespace headrace::app
