// The building half of a back end: says what it supports, and turns a graph into a plan.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <headrace/status.h>
#include "engine/plan.h"
#include "ir/graph.h"
#include "ir/preferences.h"

namespace headrace {

// Supported, or why not: a sentence that reports print.
struct Support {
  std::optional<std::string> why_not;
  bool ok() const { return !why_not; }
};

class Lowering {
 public:
  virtual ~Lowering() = default;
  virtual std::string_view name() const = 0;  // "cpu"
  virtual Support supports(const ir::Node& node) const = 0;
  virtual ir::Preferences preferences() const = 0;
  // Steps, lifetimes, size expressions, weights with their recipes and stored sizes; groups are the
  // builder's. REQUIRES: supports() is ok for every node that is not weight-only.
  virtual Result<Plan> lower(const ir::Graph& graph) const = 0;
  // All that steers lower() besides the graph: library versions and ISA.
  virtual std::string fingerprint() const = 0;
};

}  // namespace headrace
