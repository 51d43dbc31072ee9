// Passes: graph -> graph. Each is a function that says whether it changed anything; one pipeline runs them
// all, named, timed, verified in debug builds, and each able to be switched off.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <headrace/status.h>
#include "ir/graph.h"
#include "ir/preferences.h"

namespace headrace::passes {

enum class Precision : uint8_t {
  kAsIs,
  kF32,
  kBF16,
  kF16
};  // of floats; inputs and outputs keep the user's dtypes

// Evaluates a node whose inputs are all literals: the bytes of each output, row-major. Handed in by app (the
// reference back end).
using LiteralEvaluator = std::function<Result<std::vector<std::vector<std::byte>>>(const ir::Node&)>;

struct PassOptions {
  ir::Preferences preferences;
  Precision precision = Precision::kAsIs;
  std::vector<std::string> off;  // names of passes to skip; an unknown one is kInvalidArgument
  LiteralEvaluator evaluate;     // empty: literals are not folded
  bool verify = false;           // after each pass
};

struct PassContext {
  const PassOptions& options;
};

struct PassInfo {
  std::string_view name;
  std::string_view doc;
  Result<bool> (*run)(ir::Graph& graph, const PassContext& context);
};
std::span<const PassInfo> all_passes();  // in pipeline order

struct PassTime {
  std::string name;
  int64_t ns = 0;
  bool changed = false;
};
// Runs the pipeline. Errors: a pass's own, or the verifier's, with the pass's name.
Result<std::vector<PassTime>> run_passes(ir::Graph& graph, const PassOptions& options);

}  // namespace headrace::passes
