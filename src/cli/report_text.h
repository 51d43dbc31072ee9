// Memory reports and times, as people and programs read them.
#pragma once

#include <string>
#include <vector>

#include <headrace/headrace.h>

namespace headrace::cli {

// Times of runs, in nanoseconds; quantile 0.5 is the median. REQUIRES: some.
double quantile_ms(std::vector<int64_t> ns, double share);
std::string milliseconds(double ms);             // "9.8 ms"
std::string rate_text(double bytes_per_second);  // "1.90 GiB/s"

std::string memory_json(const MemoryReport& memory);
std::string tuning_json(const TuningReport& tuning);
std::string ports_json(const std::vector<PortInfo>& ports);
std::string shape_text(const std::vector<int64_t>& shape);  // "1x128"
std::string shape_json(const std::vector<int64_t>& shape);

}  // namespace headrace::cli
