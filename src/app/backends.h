// The list of back ends, in one place, and what a device's name asks for.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <headrace/status.h>
#include "kernels/kernels.h"
#include "kernels/tuning.h"
#include "lowering/lowering.h"
#include "lowering/plugin.h"
#include "weights/weights.h"

namespace headrace::app {

// "cpu", "reference", "cuda", "cuda:1", "cuda:sm_90".
struct DeviceName {
  std::string backend;
  int index = 0;
  std::string target;  // empty: that of the device
};
// Errors: kInvalidArgument, with the names that there are.
Result<DeviceName> parse_device(std::string_view text);

// What builds engines for a device.
struct BuildBackend {
  std::unique_ptr<Lowering> lowering;
  std::unique_ptr<Packer> packer;    // nullptr where weights are not packed
  std::unique_ptr<Kernels> kernels;  // that run here too; nullptr where this machine may have no such device
};
// Errors: kUnavailable: no such plug-in, or no device to ask for its target.
Result<BuildBackend> make_build_backend(const DeviceName& device, const LoweringOptions& options = {});

// What runs them.
struct RunBackend {
  std::unique_ptr<Kernels> kernels;
  std::shared_ptr<Device> device;
  // Where weights are packed: how, and the fingerprint of engines that are packed so here.
  std::unique_ptr<Packer> packer;
  std::string fingerprint;
};
// For one engine. `index`: of the device, where there may be several. `tuning`: not null but where the back
// end is part of this library. Errors: as above.
Result<RunBackend> make_run_backend(std::string_view backend, int index, std::shared_ptr<Tuning> tuning);

}  // namespace headrace::app
