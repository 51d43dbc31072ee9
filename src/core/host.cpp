#include "core/host.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace headrace {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

std::optional<std::string> read_small(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<int64_t> read_number(const std::string& path) {
  const std::optional<std::string> text = read_small(path);
  int64_t value = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

// The number after `key` in a file of "key: 123 kB" or "key 123" lines.
std::optional<int64_t> field(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!std::string_view(line).starts_with(key)) continue;
    const size_t digit = line.find_first_of("0123456789", key.size());
    if (digit == std::string::npos) return std::nullopt;
    return std::strtoll(line.c_str() + digit, nullptr, 10);
  }
  return std::nullopt;
}

Bytes status_field(std::string_view key) { return Bytes{field("/proc/self/status", key).value_or(0) * 1024}; }

// This process's cgroup for a controller ("" for version 2), and its ancestors, innermost first.
std::vector<std::string> cgroup_folders(std::string_view controller) {
  std::ifstream file("/proc/self/cgroup");
  std::string line, own;
  while (std::getline(file, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool match = controller.empty()
                           ? names == ",,"
                           : names.find("," + std::string(controller) + ",") != std::string::npos;
    if (match) own = line.substr(second + 1);
  }
  if (own.empty()) return {};
  const std::string root =
      controller.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + std::string(controller);
  std::vector<std::string> folders;
  for (;;) {
    folders.push_back(root + (own == "/" ? "" : own));
    if (own == "/" || own.empty()) return folders;
    const size_t slash = own.find_last_of('/');
    own = slash == 0 || slash == std::string::npos ? "/" : own.substr(0, slash);
  }
}

// What a cgroup still allows: limit - (use - page cache that the kernel can drop).
int64_t cgroup_memory_left() {
  int64_t left = kUnlimited;
  for (const std::string& folder : cgroup_folders("")) {
    const auto limit = read_number(folder + "/memory.max"), use = read_number(folder + "/memory.current");
    if (!limit || !use) continue;
    left = std::min(left, *limit - (*use - field(folder + "/memory.stat", "inactive_file ").value_or(0)));
  }
  for (const std::string& folder : cgroup_folders("memory")) {
    const auto limit = read_number(folder + "/memory.limit_in_bytes"),
               use = read_number(folder + "/memory.usage_in_bytes");
    if (!limit || !use || *limit > (int64_t{1} << 60)) continue;
    left =
        std::min(left, *limit - (*use - field(folder + "/memory.stat", "total_inactive_file ").value_or(0)));
  }
  return left;
}

int cgroup_cpus() {
  double cpus = std::numeric_limits<int>::max();
  for (const std::string& folder : cgroup_folders("")) {
    const std::optional<std::string> text = read_small(folder + "/cpu.max");
    if (!text || text->starts_with("max")) continue;
    std::istringstream words(*text);
    double quota = 0, period = 0;
    if (words >> quota >> period && period > 0) cpus = std::min(cpus, quota / period);
  }
  for (const char* controller : {"cpu", "cpu,cpuacct"}) {
    for (const std::string& folder : cgroup_folders(controller)) {
      const auto quota = read_number(folder + "/cpu.cfs_quota_us"),
                 period = read_number(folder + "/cpu.cfs_period_us");
      if (quota && period && *quota > 0 && *period > 0)
        cpus = std::min(cpus, double(*quota) / double(*period));
    }
  }
  return std::max(1, static_cast<int>(std::ceil(cpus)));
}

}  // namespace

int usable_cpus() {
  cpu_set_t set;
  const int affinity = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::max(1, std::min(affinity, cgroup_cpus()));
}

Bytes process_resident() { return status_field("VmRSS:"); }
Bytes process_peak() { return status_field("VmHWM:"); }
Bytes process_anonymous() { return status_field("RssAnon:") + status_field("VmLck:"); }

void reset_process_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";  // the kernel's number for resetting VmHWM
}

Bytes host_memory_available() {
  int64_t available = field("/proc/meminfo", "MemAvailable:").value_or(kUnlimited / 1024) * 1024;
  available = std::min(available, cgroup_memory_left());
  rlimit limit{};
  if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    available = std::min(available, static_cast<int64_t>(limit.rlim_cur) - status_field("VmData:").count);
  }
  return Bytes{std::max<int64_t>(0, available)};
}

}  // namespace headrace
