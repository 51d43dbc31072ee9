// What a run plug-in gives: the running half of a back end that lives in a library of its own, opened by name
// when its device is asked for.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <headrace/status.h>
#include "device/device.h"
#include "kernels/kernels.h"
#include "kernels/tuning.h"

namespace headrace {

class RunPlugin {
 public:
  virtual ~RunPlugin() = default;
  // Errors: kUnavailable (no driver, driver too old, no such device), with what to do.
  virtual Result<std::shared_ptr<Device>> device(int index) const = 0;
  // The target that engines for this device are built for: "sm_90". Errors: as device().
  virtual Result<std::string> target(int index) const = 0;
  // For one engine, whose load() does what `tuning` asks for. REQUIRES: `device` is of this plug-in.
  virtual std::unique_ptr<Kernels> kernels(std::shared_ptr<Device> device,
                                           std::shared_ptr<Tuning> tuning) const = 0;
};

// The entry of the library, `headrace_run_plugin`: nullptr where `build_id` is not its own.
using RunPluginEntry = const RunPlugin* (*)(const char* build_id);
inline constexpr const char* kRunPluginEntry = "headrace_run_plugin";

}  // namespace headrace
