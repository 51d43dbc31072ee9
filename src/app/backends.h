// The list of back ends, in one place.
#pragma once

#include <memory>
#include <string_view>

#include <headrace/status.h>
#include "kernels/kernels.h"
#include "lowering/lowering.h"
#include "weights/weights.h"

namespace headrace::app {

struct Backend {
  std::string_view name;
  std::unique_ptr<Lowering> (*make_lowering)();
  std::unique_ptr<Kernels> (*make_kernels)();
  std::unique_ptr<Packer> (*make_packer)();  // nullptr where weights are not packed
};

// Errors: kInvalidArgument, with the names that there are.
Result<const Backend*> find_backend(std::string_view name);

}  // namespace headrace::app
