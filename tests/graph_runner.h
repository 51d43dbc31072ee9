// Runs a graph node by node with the reference kernels: the oracle for passes.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "ir/graph.h"
#include "kernels/reference/reference_kernels.h"

namespace headrace::testing {

using Tensors = std::map<std::string, HostTensor>;  // by name of an input, state or weight

// The graph's output tensors, in order.
Result<std::vector<HostTensor>> run_graph(const ir::Graph& graph, const Tensors& given,
                                          const DimBindings& dims);

// Of f32 tensors: the largest difference, as a part of the largest number (1 at least); inf where the types
// differ.
double difference(const HostTensor& a, const HostTensor& b);

}  // namespace headrace::testing
