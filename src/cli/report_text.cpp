#include "cli/report_text.h"

#include <fmt/core.h>

#include <algorithm>

#include "cli/json_text.h"
#include "core/units.h"

namespace headrace::cli {

double quantile_ms(std::vector<int64_t> ns, double share) {
  std::sort(ns.begin(), ns.end());
  const double at = share * static_cast<double>(ns.size() - 1);
  const size_t low = static_cast<size_t>(at), high = std::min(low + 1, ns.size() - 1);
  const double part = at - static_cast<double>(low);
  return (static_cast<double>(ns[low]) * (1 - part) + static_cast<double>(ns[high]) * part) * 1e-6;
}

std::string milliseconds(double ms) {
  if (ms < 0.1) return fmt::format("{:.1f} µs", ms * 1e3);
  if (ms < 1) return fmt::format("{:.0f} µs", ms * 1e3);
  if (ms < 10) return fmt::format("{:.2f} ms", ms);
  return fmt::format("{:.1f} ms", ms);
}

std::string rate_text(double bytes_per_second) {
  return to_text(Bytes{static_cast<int64_t>(bytes_per_second)}) + "/s";
}

std::string memory_json(const MemoryReport& memory) {
  return JsonObject()
      .add("streamable_bytes", memory.streamable)
      .add("weight_budget_bytes", memory.weight_budget)
      .add("resident_bytes", memory.resident)
      .add("always_resident_bytes", memory.always_resident)
      .add("scratch_bytes", memory.scratch)
      .add("arena_bytes", memory.arena)
      .add("workspace_bytes", memory.workspace)
      .add("states_bytes", memory.states)
      .add("device_used_bytes", memory.device_used)
      .add("device_peak_bytes", memory.device_peak)
      .add("driver_bytes", memory.driver)
      .add("host_pinned_bytes", memory.host_pinned)
      .add("streamed_last_run_bytes", memory.streamed_last_run)
      .add("last_run_ns", memory.last_run_ns)
      .add("last_read_ns", memory.last_read_ns)
      .add("last_wait_ns", memory.last_wait_ns)
      .add("link_bytes_per_s", memory.link_rate)
      .text();
}

std::string tuning_json(const TuningReport& tuning) {
  return JsonObject()
      .add("tuned", tuning.tuned)
      .add("known", tuning.known)
      .add("untuned", tuning.untuned)
      .add("ns", tuning.ns)
      .text();
}

std::string ports_json(const std::vector<PortInfo>& ports) {
  std::vector<std::string> items;
  for (const PortInfo& port : ports) {
    std::vector<std::string> shape;
    for (const std::string& size : port.shape) shape.push_back(json_string(size));
    JsonObject item;
    item.add("name", port.name).add("is_tensor", port.is_tensor);
    if (port.is_tensor) item.add("dtype", dtype_name(port.dtype)).raw("shape", json_array(shape));
    if (!port.constant.empty()) item.raw("constant", port.constant);
    items.push_back(item.text());
  }
  return json_array(items);
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out;
  for (const int64_t size : shape) out += (out.empty() ? "" : "x") + std::to_string(size);
  return out.empty() ? "scalar" : out;
}

std::string shape_json(const std::vector<int64_t>& shape) {
  std::vector<std::string> sizes;
  for (const int64_t size : shape) sizes.push_back(std::to_string(size));
  return json_array(sizes);
}

}  // namespace headrace::cli
