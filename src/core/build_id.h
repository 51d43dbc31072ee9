// The build that a library is of: the version, and a digest of every declaration and the compiler.
//
// Libraries and plug-ins of different builds have different ids and do not work together; each is compiled
// with its own. Only for the targets that headrace_build_id (cmake/HeadraceBuild.cmake) names.
#pragma once

namespace headrace {

inline constexpr const char kBuildId[] = HEADRACE_BUILD_ID;

}  // namespace headrace
