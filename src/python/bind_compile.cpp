#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/engine.h"
#include "python/errors.h"
#include "python/interrupts.h"

namespace headrace::python {
namespace {

namespace nb = nanobind;
using namespace nb::literals;
using std::filesystem::path;

CompileReport compile_archive(const path& model, const path& engine, std::string device,
                              std::string precision, std::vector<ProfileRange> profile,
                              std::vector<std::string> passes_off, bool verify_passes,
                              std::optional<path> trace, bool allow_tf32) {
  const auto work = [&] {
    nb::gil_scoped_release release;
    return compile_file(model, engine,
                        {.device = std::move(device),
                         .precision = std::move(precision),
                         .allow_tf32 = allow_tf32,
                         .profile = std::move(profile),
                         .passes_off = std::move(passes_off),
                         .progress = watch_signals(),
                         .trace = trace.value_or(path()),
                         .verify_passes = verify_passes});
  };
  return unwrap(work());
}

void verify(const path& engine) {
  const auto work = [&] {
    nb::gil_scoped_release release;
    return verify_engine(engine, watch_signals());
  };
  check(work());
}

template <Bytes CompileReport::*kMember>
int64_t count(const CompileReport& report) {
  return (report.*kMember).count;
}

}  // namespace

void bind_compile(nb::module_& module) {
  nb::class_<CompileReport>(module, "CompileReport", "What a compile did; sizes in bytes.")
      .def_ro("nodes", &CompileReport::nodes)
      .def_ro("steps", &CompileReport::steps)
      .def_prop_ro("file", &count<&CompileReport::file>)
      .def_prop_ro("weights", &count<&CompileReport::weights>)
      .def_prop_ro("streamable", &count<&CompileReport::streamable>)
      .def_prop_ro("peak_growth", &count<&CompileReport::peak_growth>)
      .def_ro("ns", &CompileReport::ns)
      .def_ro("phases", &CompileReport::phases, "Names and nanoseconds.")
      .def_ro("warnings", &CompileReport::warnings, "Sentences for people.");
  module.def("compile_archive", &compile_archive, "model"_a, "engine"_a, nb::kw_only(), "device"_a = "cpu",
             "precision"_a = "as-is", "profile"_a = std::vector<ProfileRange>(),
             "passes_off"_a = std::vector<std::string>(), "verify_passes"_a = false, "trace"_a = nb::none(),
             "allow_tf32"_a = false, "Compiles a .pt2 archive into an engine file.");
  module.def("verify_engine", &verify, "path"_a, "Checks every byte of an engine file.");
  module.def("version", &version);
}

}  // namespace headrace::python
