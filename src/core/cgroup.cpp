#include "core/cgroup.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include "core/proc_file.h"

namespace headrace {
namespace {

// A line of /proc/self/cgroup: "4:cpu,cpuacct:/user.slice"; of version 2, "0::/user.slice".
struct Membership {
  std::string controllers, group;
};

std::optional<Membership> membership(const std::string& root, std::string_view controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    Membership found = {line.substr(first + 1, second - first - 1), line.substr(second + 1)};
    const std::string names = "," + found.controllers + ",";
    const std::string wanted = "," + std::string(controller) + ",";
    if (controller.empty() ? found.controllers.empty() : names.find(wanted) != std::string::npos)
      return found;
  }
  return std::nullopt;
}

// The folders of this process's cgroup for a controller ("" for version 2) and of those around it.
std::vector<std::string> folders(const std::string& root, std::string_view controller) {
  const std::optional<Membership> own = membership(root, controller);
  if (!own) return {};
  std::vector<std::string> mounts = {root + "/sys/fs/cgroup"};
  if (!controller.empty()) {  // mounted by its own name, that of all of them, or both
    mounts = {mounts[0] + "/" + std::string(controller)};
    if (own->controllers != controller) mounts.push_back(root + "/sys/fs/cgroup/" + own->controllers);
  }
  std::vector<std::string> all;
  for (const std::string& mount : mounts) {
    std::string group = own->group;
    while (!group.empty() && group != "/") {
      all.push_back(mount + group);
      group = group.substr(0, group.find_last_of('/'));
    }
    all.push_back(mount);
  }
  return all;
}

void lower(std::optional<double>& least, double value) { least = std::min(least.value_or(value), value); }
void lower(std::optional<int64_t>& least, int64_t value) { least = std::min(least.value_or(value), value); }

}  // namespace

std::optional<double> cgroup_cpu_quota(const std::string& root) {
  std::optional<double> least;
  for (const std::string& folder : folders(root, "")) {
    std::istringstream words(read_proc_file(folder + "/cpu.max").value_or(""));
    double quota = 0, period = 0;  // "max 100000" has no quota
    if (words >> quota >> period && quota > 0 && period > 0) lower(least, quota / period);
  }
  for (const std::string& folder : folders(root, "cpu")) {
    const auto quota = proc_number(folder + "/cpu.cfs_quota_us"),
               period = proc_number(folder + "/cpu.cfs_period_us");
    if (quota && period && *quota > 0 && *period > 0)
      lower(least, static_cast<double>(*quota) / static_cast<double>(*period));
  }
  return least;
}

std::optional<int64_t> cgroup_memory_left(const std::string& root) {
  std::optional<int64_t> least;
  for (const std::string& folder : folders(root, "")) {
    const auto limit = proc_number(folder + "/memory.max"), use = proc_number(folder + "/memory.current");
    if (!limit || !use) continue;
    lower(least, *limit - (*use - proc_field(folder + "/memory.stat", "inactive_file ").value_or(0)));
  }
  constexpr int64_t kNoLimit = int64_t{1} << 60;  // version 1 says it with a number near 2^63
  for (const std::string& folder : folders(root, "memory")) {
    const auto limit = proc_number(folder + "/memory.limit_in_bytes"),
               use = proc_number(folder + "/memory.usage_in_bytes");
    if (!limit || !use || *limit > kNoLimit) continue;
    lower(least, *limit - (*use - proc_field(folder + "/memory.stat", "total_inactive_file ").value_or(0)));
  }
  return least;
}

}  // namespace headrace
