#include "core/host.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <vector>

#include "core/cgroup.h"
#include "core/proc_file.h"

namespace headrace {
namespace {

Bytes status_field(std::string_view key) {
  return Bytes{proc_field("/proc/self/status", key).value_or(0) * 1024};
}

// The CPUs that the calling thread may run on; 1 where the kernel does not say.
int affinity() {
  constexpr size_t kMostSets = 64;  // the kernel refuses masks that are shorter than its own
  for (size_t sets = 1; sets <= kMostSets; sets *= 2) {
    std::vector<cpu_set_t> mask(sets);
    const size_t size = sets * sizeof(cpu_set_t);
    if (sched_getaffinity(0, size, mask.data()) == 0) return CPU_COUNT_S(size, mask.data());
  }
  return 1;
}

}  // namespace

int usable_cpus(const std::string& root) {
  double cpus = affinity();
  if (const auto quota = cgroup_cpu_quota(root)) cpus = std::min(cpus, std::ceil(*quota));
  return std::max(1, static_cast<int>(cpus));
}

Bytes process_resident() { return status_field("VmRSS:"); }
Bytes process_peak() { return status_field("VmHWM:"); }
Bytes process_anonymous() { return status_field("RssAnon:") + status_field("VmLck:"); }

void reset_process_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";  // the kernel's number for resetting VmHWM
}

Bytes host_memory_available() {
  constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
  int64_t available = proc_field("/proc/meminfo", "MemAvailable:").value_or(kUnlimited / 1024) * 1024;
  if (const auto left = cgroup_memory_left()) available = std::min(available, *left);
  rlimit limit{};
  if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    available = std::min(available, static_cast<int64_t>(limit.rlim_cur) - status_field("VmData:").count);
  }
  return Bytes{std::max<int64_t>(0, available)};
}

}  // namespace headrace
