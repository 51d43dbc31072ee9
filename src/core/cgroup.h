// What the cgroups of this process still allow, of version 1 and of version 2: its own and all around it, of
// which the tightest counts. A file that is missing or cannot be read limits nothing.
//
// `root` stands before /proc and /sys: "" for the machine's own, a folder in tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace headrace {

// CPUs' worth of time, such as 1.5; nullopt where it is not limited.
std::optional<double> cgroup_cpu_quota(const std::string& root = "");
// Bytes: limit - (use - page cache that the kernel can drop). May be negative.
std::optional<int64_t> cgroup_memory_left(const std::string& root = "");

}  // namespace headrace
