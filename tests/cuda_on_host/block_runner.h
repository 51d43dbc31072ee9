// Runs a generated kernel on the host: its blocks one after another, the threads of a block as fibers that
// change where they meet.
#pragma once

#include <string_view>

#include <headrace/status.h>
#include "kernels/cuda/generated_launch.h"

namespace headrace::test {

using HostKernel = void (*)(const void* arguments);

// Errors: kInternal where threads wait for each other for ever. Threads: one at a time.
Status run_blocks(HostKernel kernel, const void* arguments, const cuda::GeneratedLaunch& launch,
                  std::string_view name);

}  // namespace headrace::test
