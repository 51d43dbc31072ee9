// Random small graphs, made of the things that models are made of, and values for them.
#pragma once

#include <cstdint>
#include <random>

#include "graph_runner.h"

namespace headrace::testing {

struct RandomGraph {
  ir::Graph graph;
  Tensors given;  // inputs and weights
};

RandomGraph random_graph(uint32_t seed);

}  // namespace headrace::testing
