#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/engine.h"
#include "python/errors.h"

namespace headrace::python {
namespace {

namespace nb = nanobind;
using namespace nb::literals;

template <Bytes MemoryReport::*kMember>
int64_t count(const MemoryReport& report) {
  return (report.*kMember).count;
}

void bind_reports(nb::module_& module) {
  nb::class_<PortInfo>(module, "Port", "An input or output of an engine.")
      .def_ro("name", &PortInfo::name)
      .def_ro("is_tensor", &PortInfo::is_tensor)
      .def_prop_ro("dtype", [](const PortInfo& port) { return std::string(dtype_name(port.dtype)); })
      .def_ro("shape", &PortInfo::shape, "Sizes as text: numbers and expressions of the symbols.")
      .def_ro("constant", &PortInfo::constant, "JSON text of a constant; empty for tensors and numbers.");
  nb::class_<ProfileRange>(module, "ProfileRange", "The range of a dynamic size.")
      .def(
          "__init__",
          [](ProfileRange* self, std::string name, int64_t min, int64_t opt, int64_t max) {
            new (self) ProfileRange{std::move(name), min, opt, max};
          },
          "name"_a, "min"_a, "opt"_a, "max"_a)
      .def_ro("name", &ProfileRange::name)
      .def_ro("min", &ProfileRange::min)
      .def_ro("opt", &ProfileRange::opt)
      .def_ro("max", &ProfileRange::max);
  nb::class_<MemoryReport>(module, "MemoryReport", "Memory held and moved, in bytes and nanoseconds.")
      .def_prop_ro("streamable", &count<&MemoryReport::streamable>)
      .def_prop_ro("weight_budget", &count<&MemoryReport::weight_budget>)
      .def_prop_ro("resident", &count<&MemoryReport::resident>)
      .def_prop_ro("always_resident", &count<&MemoryReport::always_resident>)
      .def_prop_ro("scratch", &count<&MemoryReport::scratch>)
      .def_prop_ro("arena", &count<&MemoryReport::arena>)
      .def_prop_ro("workspace", &count<&MemoryReport::workspace>)
      .def_prop_ro("states", &count<&MemoryReport::states>)
      .def_prop_ro("device_used", &count<&MemoryReport::device_used>)
      .def_prop_ro("device_peak", &count<&MemoryReport::device_peak>)
      .def_prop_ro("driver", &count<&MemoryReport::driver>)
      .def_prop_ro("host_pinned", &count<&MemoryReport::host_pinned>)
      .def_prop_ro("streamed_last_run", &count<&MemoryReport::streamed_last_run>)
      .def_ro("last_run_ns", &MemoryReport::last_run_ns)
      .def_ro("last_read_ns", &MemoryReport::last_read_ns)
      .def_ro("last_wait_ns", &MemoryReport::last_wait_ns)
      .def_ro("link_rate", &MemoryReport::link_rate);
  nb::class_<TuningReport>(module, "TuningReport",
                           "The kernels that opening has tuned or knew; numbers of kernels.")
      .def_ro("tuned", &TuningReport::tuned, "Chosen by timing.")
      .def_ro("known", &TuningReport::known, "Chosen before, by this process or another one.")
      .def_ro("untuned", &TuningReport::untuned, "Left at the library's first guess.")
      .def_ro("ns", &TuningReport::ns, "That tuning took.")
      .def_ro("warnings", &TuningReport::warnings, "Sentences for people.")
      .def("__str__", &TuningReport::text);
}

}  // namespace

void bind_engine(nb::module_& module) {
  bind_reports(module);
  nb::class_<Pool>(
      module, "Pool",
      "Arena and scratch that modules share which never run at once: as large as the one needs that "
      "needs most.\n\n"
      "A call of one module during a call of another raises ValueError. All are on one device, and have "
      "no memory limit.\nSource: ``include/headrace/headrace.h``, ``Pool``.")
      .def(nb::init<>())
      .def_prop_ro(
          "arena", [](const Pool& pool) { return pool.arena().count; }, "Bytes, for activations.")
      .def_prop_ro(
          "scratch", [](const Pool& pool) { return pool.scratch().count; }, "Bytes, for streamed weights.");
  nb::class_<PyEngine>(module, "Engine", "An open engine file, and contexts to run it in.")
      .def(nb::init<const std::filesystem::path&, std::optional<int64_t>, int, std::optional<int64_t>,
                    const std::string&, std::optional<int64_t>, const std::optional<std::filesystem::path>&,
                    double, bool, const std::optional<Pool>&>(),
           "path"_a, nb::kw_only(), "weight_budget"_a = nb::none(), "threads"_a = 0,
           "memory_limit"_a = nb::none(), "device"_a = "", "host_limit"_a = nb::none(),
           "model"_a = nb::none(), "tuning_seconds"_a = OpenOptions().tuning_seconds,
           "deterministic"_a = false, "pool"_a = nb::none())
      .def("run", &PyEngine::run, "inputs"_a, nb::sig("def run(self, inputs: list | tuple) -> tuple"),
           "Runs on one entry an input, and gives one an output.")
      .def("set_weight_budget", &PyEngine::set_weight_budget, "budget"_a.none(),
           "Bytes of weights that may be resident; None: automatic.")
      .def("set_memory_limit", &PyEngine::set_memory_limit, "limit"_a.none())
      .def("write_trace", &PyEngine::write_trace, "path"_a)
      .def("start_trace", &PyEngine::start_trace)
      .def("memory", &PyEngine::memory, nb::call_guard<nb::gil_scoped_release>())
      .def(
          "report", [](const PyEngine& self) { return self.memory().text(); },
          nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("streamable", [](PyEngine& self) { return self.engine().streamable().count; })
      .def_prop_ro("weight_budget", [](PyEngine& self) { return self.engine().weight_budget().count; })
      .def_prop_ro("automatic_weight_budget",
                   [](PyEngine& self) { return self.engine().automatic_weight_budget().count; })
      .def_prop_ro("inputs", [](PyEngine& self) { return self.engine().inputs(); })
      .def_prop_ro("outputs", [](PyEngine& self) { return self.engine().outputs(); })
      .def_prop_ro("profile", [](PyEngine& self) { return self.engine().profile(); })
      .def_prop_ro("in_spec", [](PyEngine& self) { return self.engine().in_spec(); })
      .def_prop_ro("out_spec", [](PyEngine& self) { return self.engine().out_spec(); })
      .def_prop_ro("backend", [](PyEngine& self) { return self.engine().backend(); })
      .def_prop_ro("fingerprint", [](PyEngine& self) { return self.engine().info().fingerprint(); })
      .def_prop_ro("device", [](PyEngine& self) { return self.engine().device(); })
      .def_prop_ro("tuning", [](PyEngine& self) { return self.engine().tuning(); })
      .def_prop_ro("path", [](PyEngine& self) { return self.engine().path(); })
      .def_prop_ro("packed_again", &PyEngine::packed_again,
                   "Whether its weights were packed again for this machine when it was opened.")
      .def("plan_text", [](PyEngine& self) { return self.engine().plan_text(); })
      .def("weights_text", [](PyEngine& self) { return self.engine().weights_text(); })
      .def("graph_text", [](PyEngine& self) { return unwrap(self.engine().graph_text()); });
}

}  // namespace headrace::python
