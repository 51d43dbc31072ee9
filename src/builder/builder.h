// Builder: plan + weight sources -> engine file, one recipe at a time.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <headrace/progress.h>
#include <headrace/status.h>
#include "core/trace.h"
#include "engine/engine_file.h"
#include "engine/plan.h"
#include "weights/weights.h"

namespace headrace {

// Puts weights into groups, in the order of first use: small weights joined until a group holds kGroupTarget,
// a weight larger than that in a group of its own; weights below kAlwaysResidentBelow in groups that never
// stream; a kRows weight alone. Sets Weight::group and ::offset and Plan::groups.
void assign_groups(Plan& plan);
inline constexpr Bytes kGroupTarget = mib(4);

struct BuildReport {
  Bytes file;
  Bytes weights;
  Bytes streamable;
  int64_t ns = 0;
};

// `graph` is kept in the file for people. REQUIRES: assign_groups(plan) was called. Errors: the reader's,
// packer's, writer's; nothing is left behind then.
Result<BuildReport> build_engine(Plan plan, const WeightSourceReader& reader, const Packer* packer,
                                 const Evaluator* evaluator, const std::filesystem::path& path,
                                 const Progress& progress, Trace* trace, std::string_view graph = {});

}  // namespace headrace
