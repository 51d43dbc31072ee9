#include <nanobind/nanobind.h>

#include "python/engine.h"

NB_MODULE(_core, module) {
  module.doc() = "Headrace's C++ library. The package `headrace` is the way to it.";
  headrace::python::bind_engine(module);
  headrace::python::bind_compile(module);
}
