#include "python/errors.h"

namespace headrace::python {
namespace {

PyObject* exception_type(Code code) {
  switch (code) {
    case Code::kInvalidArgument: return PyExc_ValueError;
    case Code::kUnsupported: return PyExc_NotImplementedError;  // a RuntimeError too
    case Code::kNotFound: return PyExc_FileNotFoundError;
    case Code::kExhausted: return PyExc_MemoryError;
    case Code::kOk:
    case Code::kCorrupt:
    case Code::kIncompatible:
    case Code::kUnavailable:
    case Code::kInternal: break;
  }
  return PyExc_RuntimeError;
}

}  // namespace

void throw_python(const Status& status) {
  if (!PyErr_Occurred()) PyErr_SetString(exception_type(status.code()), status.message().c_str());
  throw nanobind::python_error();
}

}  // namespace headrace::python
