// The options that tests of passes run with.
#pragma once

#include "app/literal_evaluator.h"
#include "passes/passes.h"

namespace headrace::testing {

// Everything that a back end can like, and the graph verified after each pass.
inline passes::PassOptions all_passes_on() {
  passes::PassOptions options;
  options.verify = true;
  options.evaluate = app::evaluate_literals;
  options.preferences = {.channels_last = true,
                         .fuse_pointwise = true,
                         .fuse_attention = true,
                         .fuse_norm = true,
                         .join_matmuls = true,
                         .epilogues = {"relu", "gelu", "silu", "tanh"},
                         .fuse_residual = true};
  return options;
}

}  // namespace headrace::testing
