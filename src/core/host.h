// Facts about this process and machine, read from the kernel.
#pragma once

#include <string>

#include <headrace/bytes.h>

namespace headrace {

// How many threads are worth running here: the calling thread's affinity, and the cgroups' CPU quota rounded
// up. At least 1. `root` is as in core/cgroup.h.
int usable_cpus(const std::string& root = "");
Bytes process_resident();  // VmRSS
Bytes process_peak();      // VmHWM, since start or reset_process_peak()
void reset_process_peak();
Bytes process_anonymous();  // RssAnon + locked: what a compile's host budget counts
// What could still be allocated: MemAvailable, the cgroup limit (v1 or v2) less its use without reclaimable
// cache, RLIMIT_DATA less VmData; the least of them.
Bytes host_memory_available();

}  // namespace headrace
